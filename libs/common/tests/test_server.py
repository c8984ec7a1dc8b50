"""What is written in one turn of the event loop leaves together."""

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from common.web.server import Protocol, Server, _Together


class Transport:
    """Stands where the event loop's transport is."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.written.append(b"closed")

    def is_closing(self) -> bool:
        return b"closed" in self.written


async def test_a_turn_is_one_write() -> None:
    transport: Any = Transport()
    together = _Together(transport, asyncio.get_running_loop())
    for parts in ((b"head", b"body"), (b"next",)):
        for part in parts:
            together.write(part)
        await asyncio.sleep(0)
    assert transport.written == [b"headbody", b"next"]


async def test_nothing_is_lost_when_it_closes() -> None:
    transport: Any = Transport()
    together = _Together(transport, asyncio.get_running_loop())
    together.write(b"last")
    together.close()
    await asyncio.sleep(0)
    assert transport.written == [b"last", b"closed"]
    assert together.is_closing()


async def test_what_comes_later_is_not_waited_for() -> None:
    """The head of a long answer leaves before its body is there, and the body in its parts."""
    proceed = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await proceed.wait()
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve([listening]))
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    proceed.set()
    assert await reader.read() == b"ab"
    writer.close()
    server.should_exit = True
    await serving
