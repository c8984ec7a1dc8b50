"""Keeps the statements that services inside this process run."""

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine


class StatementRecorder:
    """Distinct SQL texts that app roles run, from `start` on."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def start(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._note)

    def stop(self) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)

    def _note(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if str(connection.engine.url.username).endswith("_app"):
            self.seen.add(statement)
