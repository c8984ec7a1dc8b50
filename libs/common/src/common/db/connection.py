"""A driver connection whose transactions cost no message to begin.

SQLAlchemy begins a transaction before its first statement and waits for the answer. Here BEGIN is written and
not waited for: it leaves with the first statement, whose parameters stay parameters. A transaction that could
not begin is told of by that statement. So may the next thing be that has nothing to answer: see `TOLD`.
"""

import asyncio
import secrets
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def _unnamed(text: str) -> bytes:
    """Parse, Bind and Execute of the unnamed statement, and no Sync: the server answers after the next one,
    and the driver passes over answers to what it has not asked."""
    parse = _message(b"P", b"\0" + text.encode() + b"\0\0\0")
    return parse + _message(b"B", b"\0" * 8) + _EXECUTE


_EXECUTE = _message(b"E", b"\0" * 5)
_BEGIN = _unnamed("RESET ALL") + _unnamed("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
"""What SQL of one tenant has set on the connection holds for no other's transaction. (The default of the
level was taken when the server heard the first of the two.)"""

TOLD = " OFFSET 1"
"""Ends a statement that is written and not waited for. PostgreSQL makes its one row and sends none: the
driver would take a row for one of the statement that it waits for."""


_BOUND, _ROW, _DONE = b"2DC"
_ANY_TIME = b"NSA"
"""Kinds of messages that may come between any others: notices, settings, notifications."""


class Connection(asyncpg.Connection):
    """asyncpg's, for SQLAlchemy: ordinary transactions begin with their first statement."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *others: Any) -> None:
        super().__init__(protocol, transport, *others)
        self._ear = _Ear(protocol)
        transport.set_protocol(self._ear)

    async def prepare(self, query: str, **options: Any) -> Any:
        statement = await super().prepare(query, **options)
        return _Told(self, statement.get_name(), statement) if query.endswith(TOLD) else statement

    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Any:
        if isolation is not None or readonly or deferrable:
            return super().transaction(isolation=isolation, readonly=readonly, deferrable=deferrable)
        return _Joined(self)

    def write_first(self, name: str, values: Sequence["Value"]) -> None:
        """Have the prepared statement `name`, which finds one row, run before the next statement, and in one
        transaction with it unless there is one: it ends with the next. `heard_first` has its row then."""
        data = bind(name, values, binary=True) + _EXECUTE
        self._ear.listen()
        try:
            self.write_ahead(data)
        except BaseException:
            self._ear.forget()
            raise

    def heard_first(self) -> bytes | None:
        """The row that `write_first` asked for, as the server wrote it; None when there was none."""
        return self._ear.forget()

    def has_heard_first(self) -> bool:
        """Whether the server has answered it, with whatever."""
        return not self._ear.listens

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
        self._connection, self._name = connection, name
        self._statement = statement
        """Kept, or the server would forget it."""

    def get_attributes(self) -> tuple[()]:
        return ()

    def get_statusmsg(self) -> str:
        return "SELECT 0"

    async def fetch(self, *values: "Value") -> list[Any]:
        self._connection.write_ahead(bind(self._name, values) + _EXECUTE)
        return []


Value = UUID | datetime | str | bytes
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""What PostgreSQL counts its microseconds from."""


def bind(name: str, values: Sequence[Value], *, binary: bool = False) -> bytes:
    """A message that binds values, in PostgreSQL's binary form, to a prepared statement and the unnamed
    portal; `binary`: whether what it finds has that form, too."""
    forms = [_binary(value) for value in values]
    parts = [len(form).to_bytes(4, "big") + form for form in forms]
    head = b"\0" + name.encode() + b"\0\0\1\0\1" + len(forms).to_bytes(2, "big")
    return _message(b"B", head + b"".join(parts) + (b"\0\1\0\1" if binary else b"\0\0"))


def _binary(value: Value) -> bytes:
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, datetime):
        return ((value - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, "big", signed=True)
    return value.encode() if isinstance(value, str) else value


class _Ear(asyncio.Protocol):
    """Hears the server for the driver, which would take the row of a statement written ahead for one of the
    statement that it waits for: that row, and what belongs to it, is kept here."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.listens = False
        self._begun = b""
        self._row: bytes | None = None

    def listen(self) -> None:
        self.listens = True

    def forget(self) -> bytes | None:
        """Listen no more; the row that was heard."""
        row, self._row, self.listens, self._begun = self._row, None, False, b""
        return row

    def data_received(self, data: bytes) -> None:
        self._driver.data_received(self._left_of(data) if self.listens else data)

    def _left_of(self, data: bytes) -> bytes:
        """What is the driver's of it. An answer to the statement written ahead ends with its completion, or
        with an error, which is the driver's to tell."""
        data, self._begun = self._begun + data, b""
        others: list[bytes] = []
        at = 0
        while self.listens:
            end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            if end < at + 5 or end > len(data):
                self._begun = data[at:]
                return b"".join(others)
            kind = data[at]
            if kind in _ANY_TIME:
                others.append(data[at:end])
            elif kind == _ROW:
                self._row = data[at + 5 : end]
            elif kind != _BOUND:
                self.listens = False
                end = end if kind == _DONE else at
            at = end
        return b"".join((*others, data[at:]))

    def eof_received(self) -> bool | None:
        return self._driver.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.connection_lost(exc)

    def pause_writing(self) -> None:
        self._driver.pause_writing()

    def resume_writing(self) -> None:
        self._driver.resume_writing()


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
