"""A service inside the test process: its real application and handlers over a real database."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import httpx
import jwt

from common.bus.projections import PROJECTIONS
from common.cli import build_kernel
from common.context import SystemContext
from common.contracts import auth as auth_events
from common.contracts import tenants as tenant_events
from common.contracts.envelope import Event
from common.ids import new_id
from common.service import Service
from common.testing.databases import ServiceDatabase
from common.testing.issuer import TokenIssuer
from common.web.app import asgi
from common.web.kernel import Kernel

TEST_LINK_SECRET = "7a" * 32
LIMITS = tenant_events.Limits(max_workspaces=3, max_users=3, email_sends_per_month=10_000)
FEATURES = tenant_events.Features(
    api_rate_limit=300, data_retention_days=90, custom_branding=False, beta_features=False
)
BUSY = FEATURES.model_copy(update={"api_rate_limit": 12_000})
"""Features of a tenant that whole suites ask with: the rate limit of the plan `enterprise`."""


@dataclass(frozen=True, slots=True)
class MadeTenant:
    """A tenant that the projections (and handlers) of the service under test know."""

    tenant_id: UUID
    owner_id: UUID
    workspace_id: UUID
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.token)


class Harness:
    """One service under test."""

    def __init__(
        self, service: Service, kernel: Kernel, issuer: TokenIssuer, client: httpx.AsyncClient
    ) -> None:
        self.service, self.kernel, self.issuer, self.client = service, kernel, issuer, client

    async def handle(self, tenant_id: UUID, event: Event) -> None:
        """Project and handle `event` as the consumer would, in one transaction."""
        context = SystemContext(tenant_id, "event", self.service.name)
        async with self.kernel.database.tenant(context) as session:
            for table in (PROJECTIONS, self.service.handlers):
                handler = table.get(type(event))
                if handler is not None:
                    await handler(session, event)
            await session.commit()

    async def make_tenant(self, company_name: str = "Example Ltd", **changes: Any) -> MadeTenant:
        """A tenant with an owner and a default workspace; `changes` to its TenantProvisioned."""
        tenant_id, owner_id, workspace_id = new_id(), new_id(), new_id()
        owner = tenant_events.Owner(user_id=owner_id, email=f"{owner_id.hex}@example.com", name="Olga Owner")
        workspace = tenant_events.DefaultWorkspace(workspace_id=workspace_id, name="Default", slug="default")
        facts: dict[str, Any] = {
            "tenant_id": tenant_id,
            "version": 1,
            "company_name": company_name,
            "plan": "starter",
            "limits": LIMITS,
            "features": FEATURES,
            "owner": owner,
            "default_workspace": workspace,
            **changes,
        }
        await self.handle(tenant_id, tenant_events.TenantProvisioned(**facts))
        return MadeTenant(tenant_id, owner_id, workspace_id, self.issuer.token(tenant_id, owner_id))

    async def make_user(
        self,
        tenant: MadeTenant,
        role: auth_events.TenantRoleName = "member",
        workspaces: Mapping[UUID, auth_events.WorkspaceRoleName] | None = None,
    ) -> tuple[UUID, str]:
        """A further user of the tenant: id and token."""
        user_id = new_id()
        memberships = tuple(
            auth_events.FirstMembership(workspace_id=workspace_id, role=workspace_role)
            for workspace_id, workspace_role in (workspaces or {}).items()
        )
        event = auth_events.UserRegistered(
            tenant_id=tenant.tenant_id,
            user_id=user_id,
            version=1,
            email=f"{user_id.hex}@example.com",
            name="Ulla User",
            role=role,
            memberships=memberships,
        )
        await self.handle(tenant.tenant_id, event)
        return user_id, self.issuer.token(tenant.tenant_id, user_id)


def bearer(token: str) -> dict[str, str]:
    """The Authorization header of `token`."""
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def harness(
    service: Service, database: ServiceDatabase, environment: Mapping[str, Any] | None = None
) -> AsyncGenerator[Harness]:
    """The service's application over `database`, with its own token issuer and without a broker."""
    folder = TemporaryDirectory(prefix="files-")
    names = {name.lower(): value for name, value in (environment or {}).items()}
    settings = service.settings(
        **{
            "database_url": database.app_url,
            "pooler_mode": database.pooler_mode,
            "relay_database_url": database.relay_url,
            "tenancy_key": database.tenancy_key,
            "link_secret": TEST_LINK_SECRET,
            "files_url": Path(folder.name).as_uri(),
            "database_pool_timeout": 30,  # tests share the machine; how long one waits is not what they test
            **names,
        }  # type: ignore[arg-type]  # a subclass has fields of its own
    )
    kernel = build_kernel(service, settings)
    issuer = TokenIssuer(settings.token_issuer, settings.token_audience, settings.platform_audience)
    kernel.verifier.keys.install(jwt.PyJWKSet.from_dict(issuer.jwks()))
    transport = httpx.ASGITransport(app=asgi(service.create_app(kernel)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        try:
            yield Harness(service, kernel, issuer, client)
        finally:
            await kernel.access_log.flush()
            await kernel.rate_limiter.close()
            await kernel.database.close()
            folder.cleanup()
