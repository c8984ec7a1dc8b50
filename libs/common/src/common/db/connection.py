"""A driver connection whose transactions cost no message to begin.

SQLAlchemy begins a transaction before its first statement and waits for the answer. Here BEGIN is written and
not waited for: it leaves with the first statement, whose parameters stay parameters. A transaction that could
not begin is told of by that statement.
"""

import socket
from typing import Any

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


class Connection(asyncpg.Connection):
    """asyncpg's, for SQLAlchemy: ordinary transactions begin with their first statement."""

    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Any:
        if isolation is not None or readonly or deferrable:
            return super().transaction(isolation=isolation, readonly=readonly, deferrable=deferrable)
        return _Joined(self)

    def write_begin(self) -> None:
        """Have the next statement begin a transaction."""
        if self.is_closed():
            raise asyncpg.InterfaceError("the connection is closed")
        if left := _BEGIN[_put_before_next(self._transport, _BEGIN) :]:
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
    except BlockingIOError:
        return 0
    finally:
        borrowed.detach()


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
        """End it. Without statements the end is the first to hear how BEGIN went. Had that been an error, the
        server would pass over a simple query, and answer nothing."""
        if self._connection.is_in_transaction():
            await self._connection.execute(word)
        else:
            await self._connection.fetch(word)
