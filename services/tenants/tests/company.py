"""A company that signed up, and its owner as the caller."""

from dataclasses import dataclass
from typing import Any

import httpx
from services.tenants.tests.world import PATH

from common.context import SystemContext
from common.contracts.tenants import Plan
from common.ids import Kind, to_text
from common.testing.harness import Harness, MadeTenant, bearer
from tenants.provisioning.schemas import TenantCreate
from tenants.provisioning.service import Allocation, begin


@dataclass(frozen=True)
class Company:
    """A tenant that signed up, and its owner as the caller."""

    service: Harness
    tenant: MadeTenant

    @property
    def url(self) -> str:
        return f"{PATH}/{to_text(Kind.TENANT, self.tenant.tenant_id)}"

    async def get(self, path: str = "/settings", token: str | None = None) -> httpx.Response:
        return await self.service.client.get(self.url + path, headers=bearer(token or self.tenant.token))

    async def subscription(self, token: str | None = None) -> httpx.Response:
        headers = bearer(token or self.tenant.token)
        return await self.service.client.get("/api/v1/billing/subscription", headers=headers)

    async def bill(self, method: str, path: str, token: str | None = None, **rest: Any) -> httpx.Response:
        """A request to the routes of billing."""
        headers = {**bearer(token or self.tenant.token), **rest.pop("headers", {})}
        return await self.service.client.request(method, f"/api/v1/billing{path}", headers=headers, **rest)

    async def patch(
        self, body: Any, if_match: str | None = "*", token: str | None = None, kind: str = "merge-patch+json"
    ) -> httpx.Response:
        headers = {**bearer(token or self.tenant.token), "Content-Type": f"application/{kind}"}
        if if_match is not None:
            headers["If-Match"] = if_match
        request = httpx.Request("PATCH", "http://test", json=body)
        return await self.service.client.patch(
            f"{self.url}/settings", content=request.read(), headers=headers
        )


async def found(service: Harness, plan: Plan) -> Company:
    tenant = await service.make_tenant("Acme Ltd", plan=plan)
    body = TenantCreate(
        company_name="Acme Ltd", owner_email="owner@acme.example", owner_name="Olga Owner", plan=plan
    )
    context = SystemContext(tenant.tenant_id, "provisioning", "tenants")
    async with service.kernel.database.tenant(context) as session:
        await begin(session, Allocation(tenant.tenant_id, tenant.owner_id, tenant.workspace_id), body)
        await session.commit()
    return Company(service, tenant)
