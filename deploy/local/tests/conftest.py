"""A real Envoy with the real configuration, in front of stand-ins for the services."""

import http.client
import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from penguinmails import binaries, gateway, ports
from penguinmails.credentials import SERVICES

from .standins import InBackground, SpanKeeper, Upstream

ISSUER = "https://mail.example"


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
        standard = {"iss": ISSUER, "aud": "penguinmails", "sub": "user_1", "iat": now, "nbf": now, "exp": now + 900}
        wanted = {name: value for name, value in {**standard, **claims}.items() if value is not None}
        headers = {"typ": "at+jwt", "kid": "k1"}
        return jwt.encode({**wanted, "jti": uuid4().hex}, self.key if key is None else key, algorithm, headers)

    def keys(self) -> dict[str, Any]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]}

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
def edge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    loop = InBackground()
    upstreams: dict[str, Upstream] = {name: Upstream(name) for name in SERVICES}
    collector = SpanKeeper("collector")
    collector.spans = []
    upstreams["collector"] = collector
    for upstream in upstreams.values():
        loop.run(upstream.start())
    port = ports.random_free(set())
    edge = Gateway(port, ports.random_free({port}), upstreams, loop)
    upstreams["auth"].documents["/.well-known/jwks.json"] = edge.keys()
    folder = tmp_path_factory.mktemp("edge")
    process = _start(edge, folder)
    try:
        for name in SERVICES:
            edge.await_stat(f"cluster.{name}.membership_healthy", 1)
        edge.await_stat("http.gateway.jwt_authn.jwks_fetch_success", 2)
        yield edge
    finally:
        process.terminate()
        process.wait(10)
        for upstream in upstreams.values():
            loop.run(upstream.stop())
        loop.stop()


def _start(edge: Gateway, folder: Path) -> "subprocess.Popen[bytes]":
    """The configuration as deployed, with one route timeout made short."""
    config = folder / "envoy.yaml"
    text = gateway.render(settings(edge))
    assert text.count("&patience 15s") == 1
    config.write_text(text.replace("&patience 15s", "&patience 0.5s"))
    command = [str(binaries.envoy()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def settings(edge: Gateway) -> dict[str, str]:
    return {
        "GATEWAY_ADDRESS": "127.0.0.1",
        "GATEWAY_PORT": str(edge.port),
        "ADMIN_ADDRESS": "127.0.0.1",
        "ADMIN_PORT": str(edge.admin),
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": "penguinmails",
        "PLATFORM_AUDIENCE": "penguinmails-platform",
        "TRUSTED_PROXIES": "0",
        "TRACE_SAMPLING": "100",
        **{f"{name.upper()}_HOST": "127.0.0.1" for name in edge.upstreams},
        **{f"{name.upper()}_PORT": str(upstream.port) for name, upstream in edge.upstreams.items()},
    }
