"""Keeps the statements that services inside this process run."""

from typing import Any

from sqlalchemy import Connection, PoolProxiedConnection, event
from sqlalchemy.engine import Engine

from common.db.statements import Records, Statement


class StatementRecorder:
    """Distinct SQL texts that app roles run, from `start` on: those that SQLAlchemy runs, and those that run
    without it (`common.db.statements`), of which its events tell nothing."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.compiled: set[str] = set()

    def start(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._note)
        self._run = run = Statement.run
        recorder = self

        async def note(self: Statement, connection: PoolProxiedConnection, *values: Any) -> Records:
            raw: Any = connection.driver_connection
            if raw.get_settings().session_authorization.endswith("_app"):
                recorder.compiled.add(self.text)
            return await run(self, connection, *values)

        Statement.run = note  # type: ignore[method-assign]

    def stop(self) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)
        Statement.run = self._run

    def _note(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if str(connection.engine.url.username).endswith("_app"):
            self.seen.add(statement)
