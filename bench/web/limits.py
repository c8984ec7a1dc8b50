"""The rate limit of a tenant, as an operator would set it."""

from tests.e2e.client import Tenant, eventually
from tests.e2e.test_events_command import settings_of

from bench.subject import Subject
from common.context import SystemContext
from common.ids import Kind, parse
from common.service import open_database
from tenants.tenant.queries import lock_company
from tenants.tenant.service import override_features

UNLIMITED = 1_000_000_000


async def limit(subject: Subject, tenant: Tenant, per_minute: int) -> None:
    """Have the tenant's requests limited so; returns when `campaigns` knows it."""
    database = open_database(settings_of(subject.stack, "tenants"))
    context = SystemContext(parse(Kind.TENANT, tenant.tenant_id), "job", "tenants")
    async with database.tenant(context) as session:
        await override_features(session, await lock_company(session), {"api_rate_limit": per_minute})
        await session.commit()
    await database.close()

    async def known() -> bool:
        answer = await subject.platform.get(tenant, "/campaigns")
        return f"q={per_minute};" in answer.headers["RateLimit-Policy"]

    await eventually(known)
