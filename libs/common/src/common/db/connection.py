"""A driver connection whose transactions cost no message to begin.

SQLAlchemy begins a transaction before its first statement and waits for the answer. Here BEGIN is written and
not waited for: it leaves with the first statement, whose parameters stay parameters. A transaction that could
not begin is told of by that statement. So may the next thing be that has nothing to answer: see `TOLD`.
"""

import secrets
import socket
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


# Parse, Bind and Execute of the unnamed statement, and no Sync: the server answers after the next one, and
# the driver passes over answers to what it has not asked.
_BEGIN = b"".join(
    (
        _message(b"P", b"\0BEGIN\0\0\0"),
        _message(b"B", b"\0" * 8),
        _message(b"E", b"\0" * 5),
    )
)


TOLD = " OFFSET 1"
"""Ends a statement that is written and not waited for. PostgreSQL makes its one row and sends none: the
driver would take a row for one of the statement that it waits for."""


class Connection(asyncpg.Connection):
    """asyncpg's, for SQLAlchemy: ordinary transactions begin with their first statement."""

    async def prepare(self, query: str, **options: Any) -> Any:
        statement = await super().prepare(query, **options)
        return _Told(self, statement.get_name(), statement) if query.endswith(TOLD) else statement

    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Any:
        if isolation is not None or readonly or deferrable:
            return super().transaction(isolation=isolation, readonly=readonly, deferrable=deferrable)
        return _Joined(self)

    def write_begin(self) -> None:
        """Have the next statement begin a transaction."""
        self.write_ahead(_BEGIN)

    def write_ahead(self, data: bytes) -> None:
        """Write messages that answer no rows; how they went is heard from the statement after them."""
        if self.is_closed():
            raise asyncpg.InterfaceError("the connection is closed")
        if left := data[_put_before_next(self._transport, data) :]:
            self._transport.write(left)


def _put_before_next(transport: Any, data: bytes) -> int:
    """Have the kernel send `data` together with what is written next; how many bytes of it were taken.

    A transport writes at once, and waking the server for each part costs both sides more than the part does.
    """
    more: int = getattr(socket, "MSG_MORE", 0)  # Linux has it
    if not more or transport.get_extra_info("ssl_object") or transport.get_write_buffer_size():
        return 0
    end = transport.get_extra_info("socket")
    borrowed = socket.socket(end.family, end.type, end.proto, fileno=end.fileno())
    try:
        return borrowed.send(data, more)
    except OSError:  # it takes nothing at the moment, or is dead: the transport finds out in its own way
        return 0
    finally:
        borrowed.detach()


class _Told:
    """A prepared statement whose execution is written and not waited for; what SQLAlchemy asks of one.

    In a transaction of which nothing has been heard: see how that ends.
    """

    def __init__(self, connection: Connection, name: str, statement: Any) -> None:
        self._connection, self._name = connection, name.encode()
        self._statement = statement
        """Kept, or the server would forget it."""

    def get_attributes(self) -> tuple[()]:
        return ()

    def get_statusmsg(self) -> str:
        return "SELECT 0"

    async def fetch(self, *values: UUID | str | bytes) -> list[Any]:
        self._connection.write_ahead(_message(b"B", self._bound(values)) + _message(b"E", b"\0" * 5))
        return []

    def _bound(self, values: Sequence[UUID | str | bytes]) -> bytes:
        """To the unnamed portal, every value in PostgreSQL's binary form."""
        forms = [_binary(value) for value in values]
        count = len(forms).to_bytes(2, "big")
        parts = (len(form).to_bytes(4, "big") + form for form in forms)
        return b"\0" + self._name + b"\0\0\1\0\1" + count + b"".join(parts) + b"\0\0"


def _binary(value: UUID | str | bytes) -> bytes:
    if isinstance(value, UUID):
        return value.bytes
    return value.encode() if isinstance(value, str) else value


class _Joined:
    """A transaction that begins with its first statement; what SQLAlchemy asks of one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(self) -> None:
        self._connection.write_begin()

    async def commit(self) -> None:
        await self._end("COMMIT")

    async def rollback(self) -> None:
        await self._end("ROLLBACK")

    async def _end(self, word: str) -> None:
        """End it. Without statements the end is the first to hear how what was written ahead went. Had that
        been an error, the server would pass over a simple query, and answer nothing. Whoever could name the
        statement could have put another in its place, so its name is a secret."""
        if self._connection.is_in_transaction():
            await self._connection.execute(word)
            return
        try:
            statement = await self._connection.prepare(word, name=f"s{secrets.token_hex(16)}")
            await statement.fetch()
        except asyncpg.PostgresError:
            if self._connection.is_in_transaction():  # the word was not heard
                await self._connection.execute("ROLLBACK")
            raise
