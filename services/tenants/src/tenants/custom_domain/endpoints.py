"""Routes `/api/v1/tenants/{tenant_id}/custom-domain`; which domain it is stands in the settings."""

from typing import Any, cast

from common.contracts.tenants import Plan
from common.db.session import TenantSession
from common.errors import Conflict, Unavailable
from common.ids import TenantId
from common.web.deps import Opened, Session, owner_or_admin
from common.web.routes import TENANT_PROBLEMS, tenant_router
from tenants.custom_domain import queries, service
from tenants.custom_domain.gateway import DnsAway
from tenants.custom_domain.rules import DnsRecord, Problem, find_problem, required_records
from tenants.custom_domain.schemas import CustomDomain, LinkRecord
from tenants.models import CustomDomainRow
from tenants.parts import Parts, TenantsParts
from tenants.tenant.queries import get_company, lock_company
from tenants.tenant.rules import features_of

router = tenant_router("/tenants/{tenant_id}/custom-domain", "tenants")

_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {**TENANT_PROBLEMS[422], "description": "It was changed meanwhile, or is another tenant's by now"}
}


@router.get("", operation_id="getCustomDomain", dependencies=[owner_or_admin])
async def get_custom_domain(tenant_id: TenantId, session: Session, parts: Parts) -> CustomDomain:
    """The tenant's custom domain, the DNS records it needs, and which host links use now."""
    return await _present(session, await queries.find_custom_domain(session), parts)


@router.post("/verify", operation_id="verifyCustomDomain", dependencies=[owner_or_admin], responses=_CONFLICT)
async def verify_custom_domain(tenant_id: TenantId, session: Opened, parts: Parts) -> CustomDomain:
    """Look the records up now; links use the domain from the first time that all are there."""
    asked = await queries.find_custom_domain(session)
    if asked is None:
        return await _present(session, None, parts)
    records = _records(asked, parts)
    await session.rollback()  # nothing is held while DNS takes its time
    problem = await _look_up(records, parts)
    company = await lock_company(session)
    row = await queries.find_custom_domain(session)
    if row is None or _records(row, parts) != records:
        raise Conflict
    await service.settle(session, company, row, problem, _secret(parts))
    return await _present(session, row, parts)


async def _look_up(records: tuple[DnsRecord, DnsRecord], parts: TenantsParts) -> Problem | None:
    try:
        return find_problem(records, *await parts.dns.find(records))
    except DnsAway as error:
        raise Unavailable from error


async def _present(session: TenantSession, row: CustomDomainRow | None, parts: TenantsParts) -> CustomDomain:
    platform = parts.settings.link_host
    if row is None:
        return CustomDomain(tenant_id=session.tenant_id, status="none", link_host=platform)
    company = await get_company(session)
    features = features_of(cast(Plan, company.plan), company.feature_overrides)
    used = row.verified_at is not None and features.custom_branding
    return CustomDomain(
        tenant_id=row.tenant_id,
        domain=row.domain,
        status="pending" if row.verified_at is None else "verified",
        link_host=row.domain if used else platform,
        records=[LinkRecord.model_validate(record) for record in _records(row, parts)],
        problem=cast(Problem | None, row.problem),
        checked_at=row.checked_at,
    )


def _records(row: CustomDomainRow, parts: TenantsParts) -> tuple[DnsRecord, DnsRecord]:
    return required_records(_secret(parts), row.tenant_id, row.domain, parts.settings.link_host)


def _secret(parts: TenantsParts) -> str:
    return parts.settings.link_secret.get_secret_value()
