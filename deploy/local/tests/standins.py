"""Small servers in place of the services and the collector, for tests of the real gateway."""

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Upstream:
    """Answers every request with what it received; `/…/hang` never answers, `/…/break` hangs up."""

    name: str
    documents: dict[str, Any] = field(default_factory=dict[str, Any])
    port: int = 0
    healthy: bool = True
    seen: list[str] = field(default_factory=list[str])
    server: Any = None

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.strip().split("\r\n")
        method, path, _ = request.split(" ")
        headers = dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)
        body = await _read_body(reader, headers)
        if path == "/health/ready":
            writer.write(_answer(200 if self.healthy else 503, {}))
            return True
        self.seen.append(f"{method} {path}")
        if path.endswith("/hang"):
            await asyncio.sleep(30)
        if path.endswith("/break"):
            return False
        told = {"service": self.name, "method": method, "path": path, "headers": headers, "length": len(body)}
        self.keep(path, body)
        writer.write(_answer(503 if path.endswith("/sick") else 200, self.documents.get(path, told)))
        return True

    def keep(self, path: str, body: bytes) -> None:
        """For subclasses."""


class SpanKeeper(Upstream):
    spans: list[Any]

    def keep(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in group.scope_spans:
                    self.spans.extend(scope.spans)


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def _answer(status: int, document: Any) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class InBackground:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def stop(self) -> None:
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _cancel_all(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
