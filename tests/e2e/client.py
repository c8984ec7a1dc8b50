"""A typed client of the public API, written from its contract and not from the services' code."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import httpx

Found = TypeVar("Found")


async def eventually(
    look: Callable[[], Awaitable[Found | None]], within: float = 10.0, every: float = 0.05
) -> Found:
    """The first thing `look` finds that is true; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing within {within} s"
        await asyncio.sleep(every)


@dataclass(frozen=True)
class Tenant:
    """A signed-up tenant and its owner's token."""

    tenant_id: str
    owner_user_id: str
    default_workspace_id: str
    token: str
    company_name: str
    owner_email: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class Platform:
    """Calls through the gateway."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def sign_up(self, company_name: str, plan: str = "starter", within: float = 60.0) -> Tenant:
        """Provision a tenant and return it: asked again with its key while it is not ready (202)."""
        key = str(uuid4())

        async def ask() -> Tenant | None:
            made = await self.try_sign_up(company_name, plan, key)
            assert isinstance(made, Tenant) or made.status_code == 202, made.text
            return made if isinstance(made, Tenant) else None

        return await eventually(ask, within)

    async def try_sign_up(
        self, company_name: str, plan: str = "starter", key: str | None = None
    ) -> Tenant | httpx.Response:
        """Provision a tenant; anything but 201 is returned as it is."""
        email = f"owner@{company_name.lower().replace(' ', '-')}.example.com"
        body = {
            "company_name": company_name,
            "owner_email": email,
            "owner_name": "Olga Owner",
            "plan": plan,
        }
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.http.post("/api/v1/tenants", json=body, headers=headers)
        if answer.status_code != 201:
            return answer
        made = answer.json()
        return Tenant(
            made["tenant_id"],
            made["owner_user_id"],
            made["default_workspace_id"],
            made["access_token"],
            company_name,
            email,
        )

    async def get(self, tenant: Tenant, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(f"/api/v1{path}", headers=tenant.headers, params=params)

    async def post(self, tenant: Tenant, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.http.post(f"/api/v1{path}", headers=tenant.headers, json=body)

    async def make(self, tenant: Tenant, path: str, **body: Any) -> dict[str, Any]:
        """POST and return what was made; the answer must be 201."""
        answer = await self.post(tenant, path, body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def audit(self, tenant: Tenant, **filters: Any) -> list[dict[str, Any]]:
        """All audit events of the tenant that match, newest first."""
        events: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            params = {"limit": 100, **filters, **({"cursor": cursor} if cursor else {})}
            answer = await self.get(tenant, "/audit/events", **params)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            events += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return events

    async def audited(self, tenant: Tenant, within: float = 10.0, **filters: Any) -> dict[str, Any]:
        """The newest matching audit event, as soon as there is one."""

        async def look() -> dict[str, Any] | None:
            events = await self.audit(tenant, **filters)
            return events[0] if events else None

        return await eventually(look, within)
