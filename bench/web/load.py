"""Requests over connections that stay open, as cheap for the asking side as Python can be."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes

    @property
    def request_id(self) -> str:
        found = _REQUEST_ID.search(self.head)
        if found is None:
            raise RuntimeError("an answer without X-Request-Id")
        return found[1].decode()


class Connection(asyncio.Protocol):
    """One connection, one request at a time; opened again when the server has closed it in a pause."""

    _transport: asyncio.Transport
    _answer: asyncio.Future[Answer]

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._got = bytearray()

    async def open(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)

    async def ask(self, request: bytes) -> Answer:
        if self._transport.is_closing():
            await self.open()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._got[:end])
        length = _LENGTH.search(head)
        if len(self._got) >= end + 4 + (int(length[1]) if length else 0):
            self._got.clear()
            self._answer.set_result(Answer(int(head[9:12]), head))

    def connection_lost(self, exc: Exception | None) -> None:
        waiting: asyncio.Future[Answer] | None = getattr(self, "_answer", None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError("the server has hung up"))


class Crowd:
    """Connections that ask beside each other."""

    def __init__(self, connections: list[Connection]) -> None:
        self._all = connections
        self._free = asyncio.LifoQueue[Connection]()
        for one in connections:
            self._free.put_nowait(one)

    async def ask(self, request: bytes) -> Answer:
        """On the next connection that is free."""
        connection = await self._free.get()
        try:
            return await connection.ask(request)
        finally:
            self._free.put_nowait(connection)

    async def rate(self, make: Callable[[], bytes], expected: int, seconds: float) -> float:
        """Answers a second when every connection asks again as soon as it has its answer.

        Raises:
            RuntimeError: some answer had another status than expected.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def repeat(connection: Connection) -> int:
            count = 0
            while loop.time() - began < seconds:
                answer = await connection.ask(make())
                if answer.status != expected:
                    raise RuntimeError(f"status {answer.status} and not {expected}")
                count += 1
            return count

        counts = await asyncio.gather(*(repeat(one) for one in self._all))
        return sum(counts) / (loop.time() - began)


@asynccontextmanager
async def crowd(url: str, size: int) -> AsyncGenerator[Crowd]:
    """So many connections to a server."""
    place = urlsplit(url)
    connections = [Connection(str(place.hostname), place.port or 80) for _ in range(size)]
    for connection in connections:
        await connection.open()
    try:
        yield Crowd(connections)
    finally:
        for connection in connections:
            connection.close()


def request(method: str, path: str, token: str, body: dict[str, Any] | None = None) -> bytes:
    """The bytes of a request of the API."""
    content = b"" if body is None else json.dumps(body).encode()
    return message(method, f"/api/v1{path}", {"Authorization": f"Bearer {token}"}, content)


def message(method: str, target: str, headers: Mapping[str, str], content: bytes) -> bytes:
    """The bytes of any request; what it contains is JSON."""
    described = {"Content-Type": "application/json", "Content-Length": str(len(content))} if content else {}
    fields = {"Host": "localhost", **headers, **described}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + content
