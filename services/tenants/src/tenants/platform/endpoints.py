"""Routes `/api/v1/platform/tenants…`."""

from typing import Annotated, Any

from fastapi import Query, Response

from common.contracts.tenants import Plan
from common.db.session import TenantSession
from common.ids import TenantId
from common.schema import Page, Text
from common.web.deps import Cursor, Limit, Shared
from common.web.etags import IfMatch, check_version, set_etag
from common.web.platform import AtThePlatform, InNamedTenant, platform_router
from common.web.routes import TENANT_PROBLEMS
from tenants.models import CompanyRow
from tenants.platform import queries, service
from tenants.platform.presentation import present
from tenants.platform.rules import Flag
from tenants.platform.schemas import (
    FeatureUpdate,
    LimitsUpdate,
    Status,
    Suspension,
    TenantDetail,
    TenantSummary,
)
from tenants.tenant.queries import get_company, lock_company

router = platform_router("/tenants", "operators")

_STALE: dict[int | str, dict[str, Any]] = {
    412: {**TENANT_PROBLEMS[422], "description": "The tenant has changed since"}
}
_SEARCH = Query(description="Part of the company's name")


@router.get("", operation_id="listTenants")
async def list_tenants(
    session: AtThePlatform,
    shared: Shared,
    q: Annotated[Text | None, _SEARCH] = None,
    status: Status | None = None,
    plan: Plan | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[TenantSummary]:
    """Tenants of the platform, newest first."""
    wanted = queries.Wanted(q, status, plan)
    rows, next_cursor = await queries.list_tenants(session, shared.cursors, wanted, limit, cursor)
    return Page(data=[TenantSummary.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{tenant_id}", operation_id="showTenant")
async def show_tenant(tenant_id: TenantId, session: InNamedTenant, response: Response) -> TenantDetail:
    """One tenant: what holds for it, and what operators have overridden."""
    return await _answer(session, await get_company(session), response)


@router.post("/{tenant_id}/suspend", operation_id="suspendTenant")
async def suspend_tenant(
    tenant_id: TenantId, body: Suspension, session: InNamedTenant, response: Response
) -> TenantDetail:
    """Suspend a tenant: its owners and admins may read, nobody may change or send anything."""
    row = await lock_company(session)
    await service.suspend(session, row, body.reason)
    return await _answer(session, row, response)


@router.post("/{tenant_id}/reactivate", operation_id="reactivateTenant")
async def reactivate_tenant(tenant_id: TenantId, session: InNamedTenant, response: Response) -> TenantDetail:
    """Lift the operators' suspension; the tenant is active again unless there is another cause."""
    row = await lock_company(session)
    await service.reactivate(session, row)
    return await _answer(session, row, response)


@router.put("/{tenant_id}/limits", operation_id="overrideTenantLimits", responses=_STALE)
async def override_limits(
    tenant_id: TenantId,
    body: LimitsUpdate,
    session: InNamedTenant,
    response: Response,
    if_match: IfMatch = None,
) -> TenantDetail:
    """Override limits of the plan; null gives one back to it."""
    row = await lock_company(session)
    check_version(if_match, row.version)
    await service.change_limits(session, row, body.given())
    return await _answer(session, row, response)


@router.put("/{tenant_id}/features/{flag}", operation_id="overrideTenantFeature", responses=_STALE)
async def override_feature(
    tenant_id: TenantId,
    flag: Flag,
    body: FeatureUpdate,
    session: InNamedTenant,
    response: Response,
    if_match: IfMatch = None,
) -> TenantDetail:
    """Override a feature flag of the plan; every service knows within a second."""
    row = await lock_company(session)
    check_version(if_match, row.version)
    await service.change_feature(session, row, flag, body.value)
    return await _answer(session, row, response)


@router.delete("/{tenant_id}/features/{flag}", operation_id="liftTenantFeature")
async def lift_feature(
    tenant_id: TenantId, flag: Flag, session: InNamedTenant, response: Response
) -> TenantDetail:
    """Give a feature flag back to the plan."""
    row = await lock_company(session)
    await service.change_feature(session, row, flag, None)
    return await _answer(session, row, response)


async def _answer(session: TenantSession, row: CompanyRow, response: Response) -> TenantDetail:
    await session.flush()
    set_etag(response, row.version)
    return await present(session, row)
