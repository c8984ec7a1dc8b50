"""A stand-in for a broken installation: a proxy before the real gateway that takes isolation apart."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from common.ids import Kind

Headers = list[tuple[str, str]]


@dataclass
class Call:
    """A request on its way, and who makes it."""

    method: str
    target: str
    headers: Headers
    content: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def token(self) -> str:
        return self.header("authorization").removeprefix("Bearer ")

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def with_header(self, name: str, value: str) -> "Call":
        kept = [(key, text) for key, text in self.headers if key != name]
        return Call(self.method, self.target, [*kept, (name, value)], self.content)

    def acting_as(self, token: str) -> "Call":
        return self.with_header("authorization", f"Bearer {token}")

    def is_item(self, method: str, collection: str) -> bool:
        head, _, last = self.path.rpartition("/")
        return self.method == method and head == f"/api/v1/{collection}" and "_" in last

    def is_collection(self, method: str, collection: str) -> bool:
        return self.method == method and self.path == f"/api/v1/{collection}"


@dataclass
class BrokenGateway:
    """Breaks one thing on each of several resources; the others stay whole."""

    behind: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    replies: dict[str, httpx.Response] = field(default_factory=dict)

    async def answer(self, call: Call) -> httpx.Response:
        for broken in (
            self._without_algorithm,
            self._trusted_tenant,
            self._shared_keys,
            self._silent_deletion,
        ):
            answer = await broken(call)
            if answer is not None:
                return answer
        answer = await self._forward(call)
        self._learn(call, answer)
        if answer.status_code == 404:
            return await self._talkative(call, answer)
        return answer

    async def _without_algorithm(self, call: Call) -> httpx.Response | None:
        """Tokens that say they need no signature are believed."""
        head, _, rest = call.token.partition(".")
        if call.is_collection("GET", "domains") and rest and decoded(head).get("alg") == "none":
            tenant = decoded(rest.partition(".")[0])["tenant_id"]
            return await self._forward(call.acting_as(self.tokens[tenant]))
        return None

    async def _trusted_tenant(self, call: Call) -> httpx.Response | None:
        """The header says which tenant it is."""
        token = self.tokens.get(call.header("x-tenant-id"))
        if call.is_collection("GET", "campaigns") and token and call.token in self.tokens.values():
            return await self._forward(call.with_header("x-tenant-id", "").acting_as(token))
        return None

    async def _shared_keys(self, call: Call) -> httpx.Response | None:
        """Idempotency keys without tenant."""
        key = call.header("idempotency-key")
        if not call.is_collection("POST", "workspaces") or not key:
            return None
        if key in self.replies:
            stored = self.replies[key]
            headers = {**stored.headers, "idempotent-replayed": "true"}
            return httpx.Response(stored.status_code, headers=headers, content=stored.content)
        self.replies[key] = await self._forward(call)
        return self.replies[key]

    async def _silent_deletion(self, call: Call) -> httpx.Response | None:
        """The stranger is told that there is nothing, but it is gone."""
        if not call.is_item("DELETE", "invitations"):
            return None
        await self._forward(call.acting_as(self._other(call)))
        return await self._forward(call)

    async def _talkative(self, call: Call, answer: httpx.Response) -> httpx.Response:
        name = self.names.get(call.path.rpartition("/")[2])
        if call.is_item("GET", "templates"):
            return await self._forward(call.acting_as(self._other(call)))
        if call.is_item("GET", "lists") and name:
            answer.headers["x-owner"] = name
        if call.is_item("GET", "contacts") and name:
            changed = {**answer.json(), "detail": "This belongs to somebody else."}
            return httpx.Response(404, headers=answer.headers, json=changed)
        return answer

    def _other(self, call: Call) -> str:
        return next((token for token in self.tokens.values() if token != call.token), call.token)

    def _learn(self, call: Call, answer: httpx.Response) -> None:
        if call.method != "POST" or answer.status_code != 201:
            return
        made = answer.json()
        if "access_token" in made:
            self.tokens[made["tenant_id"]] = made["access_token"]
        for kind, name in ((Kind.LIST, "list_id"), (Kind.CONTACT, "contact_id")):
            if str(made.get(name, "")).startswith(kind.value):
                self.names[made[name]] = json.loads(call.content).get("name") or made["email"]

    async def _forward(self, call: Call) -> httpx.Response:
        headers = [(name, value) for name, value in call.headers if name != "host" and value]
        request = self.behind.build_request(
            call.method,
            "/",
            headers=headers,
            content=call.content or None,
            extensions={"target": call.target.encode()},
        )
        return await self.behind.send(request)


def decoded(part: str) -> dict[str, Any]:
    """A part of a token; empty when it is none."""
    try:
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return found


def application(gateway: BrokenGateway) -> Callable[..., Awaitable[None]]:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        content, more = b"", True
        while more:
            message = await receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        answer = await gateway.answer(Call(scope["method"], target, headers, content))
        hop = ("transfer-encoding", "connection", "content-length", "content-encoding")
        raw = [
            (name.lower(), value) for name, value in answer.headers.raw if name.decode().lower() not in hop
        ]
        raw.append((b"content-length", str(len(answer.content)).encode()))
        await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
        await send({"type": "http.response.body", "body": answer.content})

    return app


@asynccontextmanager
async def broken_gateway(real: str) -> AsyncIterator[str]:
    """Its address, while it runs before the real one."""
    async with httpx.AsyncClient(base_url=real, timeout=20, trust_env=False) as behind:
        config = uvicorn.Config(
            application(BrokenGateway(behind)),
            lifespan="off",
            log_level="error",
            server_header=False,
            date_header=False,
        )
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
