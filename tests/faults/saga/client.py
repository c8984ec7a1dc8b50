"""A client that signs up, and asks again with its key until it has its 201."""

import time
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.client import Platform, Tenant, eventually

IDS = ("tenant_id", "owner_user_id", "default_workspace_id")
_MAY_COME = (201, 202, 502, 503, 504)


class Client:
    """One sign-up. `before` counts what came in place of the 201; 0: no answer at all."""

    def __init__(self, platform: Platform, mark: str) -> None:
        self._platform = platform
        self.address = f"owner-{uuid4().hex}@{mark}.example.com"
        self.before: Counter[int] = Counter()
        self.seconds = 0.0
        self._headers = {"Idempotency-Key": str(uuid4())}

    async def ask(self) -> httpx.Response | None:
        """One request; None when the connection broke."""
        body = {
            "company_name": "Stubborn Ltd",
            "owner_email": self.address,
            "owner_name": "Sto",
            "plan": "starter",
        }
        try:
            answer = await self._platform.http.post("/api/v1/tenants", json=body, headers=self._headers)
        except httpx.HTTPError:
            return None
        assert answer.status_code in _MAY_COME, answer.text
        return answer

    async def sign_up(self) -> Tenant:
        """The tenant of the first 201."""
        began = time.monotonic()
        tenant = await eventually(self._created, within=90, every=0.3)
        self.seconds = time.monotonic() - began
        return tenant

    async def sign_up_again(self, made: Tenant) -> Tenant:
        """The same key when everything is done: the same ids, and a token that works."""
        again = await eventually(self._created, within=90, every=0.3)
        assert [getattr(again, name) for name in IDS] == [getattr(made, name) for name in IDS]

        async def welcome() -> list[dict[str, Any]] | None:
            answer = await self._platform.get(again, "/workspaces")
            assert answer.status_code in (200, 502, 503, 504), answer.text
            return answer.json()["data"] if answer.status_code == 200 else None

        workspaces = await eventually(welcome, within=60, every=0.3)
        assert [row["workspace_id"] for row in workspaces] == [made.default_workspace_id]
        return again

    async def _created(self) -> Tenant | None:
        answer = await self.ask()
        if answer is None or answer.status_code != 201:
            self.before[answer.status_code if answer else 0] += 1
            return None
        body = answer.json()
        ids = [body[name] for name in IDS]
        return Tenant(*ids, token=body["access_token"], company_name="Stubborn", owner_email=self.address)
