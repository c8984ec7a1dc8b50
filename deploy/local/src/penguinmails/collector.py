"""A small OpenTelemetry collector: OTLP over HTTP in, OTLP/JSON lines out, bounded in size; metrics also as
Prometheus reads them, at `/metrics`.

`python -m penguinmails.collector --port PORT --folder FOLDER`
"""

import argparse
import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from google.protobuf.message import DecodeError

from penguinmails import otlp
from penguinmails.exposition import Exposition

FILE_LIMIT = 64 << 20
BODY_LIMIT = 16 << 20
SIGNALS = {"/v1/traces": otlp.traces, "/v1/metrics": otlp.metrics, "/v1/logs": otlp.logs}

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RotatedFile:
    """Appends lines; when it is full the file moves to `.1` and the older one goes."""

    def __init__(self, path: Path, limit: int = FILE_LIMIT) -> None:
        self.path, self.limit = path, limit
        self.file = path.open("ab")

    def append(self, line: bytes) -> None:
        if self.file.tell() + len(line) > self.limit:
            self.file.close()
            self.path.replace(self.path.with_suffix(".1.jsonl"))
            self.file = self.path.open("ab")
        self.file.write(line + b"\n")
        self.file.flush()


class Collector:
    """ASGI application."""

    def __init__(self, folder: Path) -> None:
        self.exposition = Exposition()
        self.files = {path: RotatedFile(folder / f"{path[4:]}.jsonl") for path in SIGNALS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path in SIGNALS and scope["method"] == "POST":
            await _answer(send, self._store(path, dict(scope["headers"]), await _body(receive)))
        elif path == "/metrics":
            await _answer(send, 200, self.exposition.render().encode(), b"text/plain; version=0.0.4")
        else:
            await _answer(send, 200 if path == "/health/ready" else 404)

    def _store(self, path: str, headers: dict[bytes, bytes], body: bytes | None) -> int:
        if body is None:
            return 413
        try:
            message = _decode(path, headers, body)
        except (DecodeError, ValueError, OSError, EOFError, zlib.error):
            return 400
        if path == "/v1/metrics":
            self.exposition.take(message)
        self.files[path].append(json.dumps(message, separators=(",", ":")).encode())
        return 200


def _decode(path: str, headers: dict[bytes, bytes], body: bytes) -> otlp.Json:
    if headers.get(b"content-encoding") == b"gzip":
        body = gzip.decompress(body)
    if headers.get(b"content-type", b"").startswith(b"application/json"):
        return json.loads(body)
    return SIGNALS[path](body)


async def _body(receive: Receive) -> bytes | None:
    """None when it is longer than we take."""
    body = b""
    while len(body) <= BODY_LIMIT:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
    return None


async def _answer(
    send: Send, status: int, body: bytes = b"", kind: bytes = b"application/x-protobuf"
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    server = uvicorn.Config(
        Collector(options.folder), host="127.0.0.1", port=options.port, access_log=False, log_level="warning"
    )
    asyncio.run(uvicorn.Server(server).serve())


if __name__ == "__main__":
    main()
