"""The state of a tenant as events, for `events snapshot`."""

from collections.abc import AsyncIterator
from typing import Literal, cast

from sqlalchemy import select

from common.contracts.envelope import Event
from common.contracts.tenants import Plan, TenantDescribed
from common.db.session import TenantSession
from tenants.custom_domain.queries import find_custom_domain
from tenants.models import CompanyRow
from tenants.tenant.rules import features_of, limits_of

Status = Literal["active", "suspended", "deleting", "deleted"]


async def describe(session: TenantSession) -> AsyncIterator[Event]:
    """The tenant itself."""
    for row in await session.scalars(select(CompanyRow).with_for_update(read=True)):
        plan = cast(Plan, row.plan)
        domain = await find_custom_domain(session)
        yield TenantDescribed(
            tenant_id=session.tenant_id,
            version=row.version,
            company_name=row.company_name,
            status=cast(Status, row.status),
            plan=plan,
            limits=limits_of(plan, row.limit_overrides),
            features=features_of(plan, row.feature_overrides),
            link_host=domain.domain if domain is not None and domain.verified_at is not None else None,
        )
