"""Keeps the statements that services inside this process run."""

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from common.db import connection as driver


class StatementRecorder:
    """Distinct SQL texts that app roles run, from `start` on: those that SQLAlchemy runs, and those that the
    driver prepares for whomever (`common.db.statements` asks without SQLAlchemy)."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.prepared: set[str] = set()

    def start(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._note)
        prepare = driver.Connection.prepare
        recorder = self

        async def note(self: driver.Connection, query: str, **options: Any) -> Any:
            if self.get_settings().session_authorization.endswith("_app"):
                recorder.prepared.add(query)
            return await prepare(self, query, **options)

        driver.Connection.prepare = note

    def stop(self) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)
        del driver.Connection.prepare

    def _note(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if str(connection.engine.url.username).endswith("_app"):
            self.seen.add(statement)
