"""The HTTP server: uvicorn's, with fewer calls to the kernel and without its hold on signals."""

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Server(uvicorn.Server):
    """Leaves signals to us, so that all roles of a process stop in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Protocol(HttpToolsProtocol):
    """Head and body of an answer leave together. uvicorn writes them one after the other, and the kernel's
    work for each, with the other side's waking, costs more than many a layer of ours."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        together: Any = _Together(transport, self.loop)
        super().connection_made(together)


class _Together:
    """A transport that sends at once what is written in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _send(self) -> None:
        held, self._held = self._held, []
        if held:
            self._transport.write(b"".join(held))
