"""Routes `/api/v1/tenants/{tenant_id}` and `/settings`.

The path's tenant is the caller's own: the route class has compared them.
"""

from typing import cast

from fastapi import Response

from common.contracts.tenants import Plan
from common.ids import TenantId
from common.web.deps import Session, owner_or_admin
from common.web.etags import set_etag
from common.web.routes import tenant_router
from tenants.tenant import queries
from tenants.tenant.rules import effective_settings
from tenants.tenant.schemas import Settings, Tenant, TenantSettings

router = tenant_router("/tenants/{tenant_id}", "tenants")


@router.get("", operation_id="getTenant")
async def get_tenant(tenant_id: TenantId, session: Session) -> Tenant:
    """The caller's tenant."""
    return Tenant.model_validate(await queries.get_company(session))


@router.get("/settings", operation_id="getTenantSettings", dependencies=[owner_or_admin])
async def get_settings(tenant_id: TenantId, session: Session, response: Response) -> TenantSettings:
    """All settings, chosen or default, and the limits of the plan."""
    row = await queries.get_company(session)
    set_etag(response, row.settings_version)
    plan = cast(Plan, row.plan)
    settings = effective_settings(row.company_name, plan, row.settings, row.limit_overrides)
    return TenantSettings(tenant_id=row.tenant_id, settings=Settings.model_validate(settings))
