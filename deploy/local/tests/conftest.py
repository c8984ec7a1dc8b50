"""A real Envoy with the real configuration, in front of stand-ins for the services and the collector."""

import asyncio
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from penguinmails import binaries, gateway, ports
from penguinmails.credentials import SERVICES

ISSUER = "https://mail.example"
JWKS = "/.well-known/jwks.json"


@dataclass
class Upstream:
    """Answers every request with what it received; `/…/hang` never answers, `/…/break` hangs up.

    Paths in `sick`, and `/…/sick`, are answered with 503.
    """

    name: str
    documents: dict[str, Any] = field(default_factory=dict[str, Any])
    port: int = 0
    healthy: bool = True
    sick: set[str] = field(default_factory=set[str])
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
        if path == "/health/serving":
            writer.write(_answer(200 if self.healthy else 503, {}))
            return True
        self.seen.append(f"{method} {path}")
        if path.endswith("/hang"):
            await asyncio.sleep(30)
        if path.endswith("/break"):
            return False
        told = {"service": self.name, "method": method, "path": path, "headers": headers, "length": len(body)}
        self.keep(path, body)
        sick = path.endswith("/sick") or path in self.sick
        writer.write(_answer(503 if sick else 200, self.documents.get(path, told)))
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


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Gateway:
    def __init__(self, port: int, admin: int, upstreams: dict[str, Upstream], loop: InBackground) -> None:
        self.port, self.admin, self.upstreams, self.loop = port, admin, upstreams, loop
        self.key = ec.generate_private_key(ec.SECP256R1())

    def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = None,
    ) -> Answer:
        """Sends the target as it stands, without any normalisation."""
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read())
        finally:
            connection.close()

    def raw(self, data: bytes) -> Answer:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(data)
            response = http.client.HTTPResponse(connection)
            response.begin()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read())

    def token(self, key: Any = None, algorithm: str = "ES256", **claims: Any) -> str:
        now = time.time()
        standard = {
            "iss": ISSUER,
            "aud": "penguinmails",
            "sub": "user_1",
            "iat": now,
            "nbf": now,
            "exp": now + 900,
        }
        wanted = {name: value for name, value in {**standard, **claims}.items() if value is not None}
        headers = {"typ": "at+jwt", "kid": "k1"}
        return jwt.encode(
            {**wanted, "jti": uuid4().hex}, self.key if key is None else key, algorithm, headers
        )

    def keys(self) -> dict[str, Any]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]}

    def publish_keys(self) -> None:
        """Auth knows them from now on; returns when the gateway has them too, once for each audience."""
        auth = self.upstreams["auth"]
        auth.documents[JWKS] = self.keys()
        auth.sick.discard(JWKS)
        self.await_stat("http.gateway.jwt_authn.jwks_fetch_success", 2)

    def stat(self, name: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        try:
            connection.request("GET", f"/stats?filter=^{name}$")
            text = connection.getresponse().read().decode()
        except OSError:
            return -1
        finally:
            connection.close()
        return int(text.split(":")[1]) if ":" in text else -1

    def await_stat(self, name: str, wanted: int) -> None:
        deadline = time.monotonic() + 10
        while self.stat(name) != wanted:
            assert time.monotonic() < deadline, f"{name} is {self.stat(name)}, not {wanted}"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with _running(tmp_path_factory.mktemp("edge")) as edge:
        edge.publish_keys()
        yield edge


@pytest.fixture
def keyless_edge(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of the test's own to which auth refuses the token keys."""
    with _running(tmp_path) as edge:
        yield edge


@pytest.fixture
def untraced_edge(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of the test's own that records no request."""
    with _running(tmp_path, sampling="0") as edge:
        yield edge


@contextmanager
def _running(folder: Path, sampling: str = "1000000") -> Iterator[Gateway]:
    """Without token keys, until they are published."""
    loop = InBackground()
    upstreams: dict[str, Upstream] = {name: Upstream(name) for name in SERVICES}
    collector = SpanKeeper("collector")
    collector.spans = []
    upstreams["collector"] = collector
    upstreams["auth"].sick.add(JWKS)
    for upstream in upstreams.values():
        loop.run(upstream.start())
    port = ports.random_free(set())
    edge = Gateway(port, ports.random_free({port}), upstreams, loop)
    process = _start(edge, folder, sampling)
    try:
        for name in SERVICES:
            edge.await_stat(f"cluster.{name}.membership_healthy", 1)
        yield edge
    finally:
        process.terminate()
        process.wait(10)
        for upstream in upstreams.values():
            loop.run(upstream.stop())
        loop.stop()


def _start(edge: Gateway, folder: Path, sampling: str) -> "subprocess.Popen[bytes]":
    """The configuration as deployed, with one route timeout made short."""
    config = folder / "envoy.yaml"
    text = gateway.render(settings(edge, sampling))
    assert text.count("&patience 15s") == 1
    config.write_text(text.replace("&patience 15s", "&patience 0.5s"))
    command = [str(binaries.envoy()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def settings(edge: Gateway, sampling: str) -> dict[str, str]:
    return {
        "GATEWAY_ADDRESS": "127.0.0.1",
        "GATEWAY_PORT": str(edge.port),
        "ADMIN_ADDRESS": "127.0.0.1",
        "ADMIN_PORT": str(edge.admin),
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": "penguinmails",
        "PLATFORM_AUDIENCE": "penguinmails-platform",
        "TRUSTED_PROXIES": "0",
        "TRACE_SAMPLING": sampling,
        "METRIC_INTERVAL": "1",
        **{f"{name.upper()}_HOST": "127.0.0.1" for name in edge.upstreams},
        **{f"{name.upper()}_PORT": str(upstream.port) for name, upstream in edge.upstreams.items()},
    }
