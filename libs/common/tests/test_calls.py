"""Calls to a service that dies."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import httpx
import uvloop

from common.web.calls import make_client

CALLS = 200
_RESET = struct.pack("ii", 1, 0)


@contextmanager
def dying() -> Iterator[int]:
    """A port whose connections are reset as soon as they are there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            for _ in range(CALLS):
                connection, _ = listening.accept()  # the last of a test that fails never comes
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.close()

        Thread(target=reset, daemon=True).start()
        yield int(listening.getsockname()[1])


async def call(port: int) -> str:
    async with make_client() as client:
        try:
            await client.post(f"http://127.0.0.1:{port}/", json={})
        except httpx.HTTPError as error:
            return type(error).__name__
    return "answered"


def test_a_connection_that_breaks_in_whichever_moment_is_an_error_of_the_call() -> None:
    """In some of a hundred it breaks while uvloop makes it; that alone must not become an internal error."""

    async def calls(port: int) -> Counter[str]:
        return Counter([await call(port) for _ in range(CALLS)])

    with dying() as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(calls(port))
    assert seen["answered"] == 0
    assert seen["ReadError"] + seen["ConnectError"] == CALLS, seen
