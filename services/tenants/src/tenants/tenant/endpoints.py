"""Routes `/api/v1/tenants/{tenant_id}` and what is below it.

The path's tenant is the caller's own: the route class has compared them.
"""

from typing import Any, cast

from fastapi import Response

from common.contracts.tenants import Plan
from common.ids import TenantId
from common.web.deps import Session, owner_or_admin
from common.web.etags import IfMatch, require_version, set_etag
from common.web.routes import TENANT_PROBLEMS, tenant_router
from tenants.models import CompanyRow
from tenants.parts import Parts
from tenants.tenant import queries, service
from tenants.tenant.presentation import present_usage
from tenants.tenant.rules import effective_settings, features_of, limits_of
from tenants.tenant.schemas import (
    FeatureFlags,
    LimitSettings,
    Settings,
    SettingsUpdate,
    Tenant,
    TenantFeatures,
    TenantSettings,
    TenantUsage,
)
from tenants.tenant.settings_schema import settings_schema

router = tenant_router("/tenants/{tenant_id}", "tenants")

_PRECONDITIONS: dict[int | str, dict[str, Any]] = {
    409: {**TENANT_PROBLEMS[422], "description": "Another tenant has the custom domain"},
    412: {**TENANT_PROBLEMS[422], "description": "The settings have changed since"},
    428: {**TENANT_PROBLEMS[422], "description": "`If-Match` is missing"},
}
_MERGE_PATCH = {"schema": {"$ref": "#/components/schemas/SettingsUpdate"}}


@router.get("", operation_id="getTenant")
async def get_tenant(tenant_id: TenantId, session: Session) -> Tenant:
    """The caller's tenant."""
    return Tenant.model_validate(await queries.get_company(session))


@router.get("/settings", operation_id="getTenantSettings", dependencies=[owner_or_admin])
async def get_settings(tenant_id: TenantId, session: Session, response: Response) -> TenantSettings:
    """All settings, chosen or default, and the limits of the plan."""
    return _present(await queries.get_company(session), response)


@router.patch(
    "/settings",
    operation_id="updateTenantSettings",
    dependencies=[owner_or_admin],
    responses=_PRECONDITIONS,
    openapi_extra={"requestBody": {"content": {"application/merge-patch+json": _MERGE_PATCH}}},
)
async def update_settings(
    tenant_id: TenantId,
    body: SettingsUpdate,
    session: Session,
    parts: Parts,
    response: Response,
    if_match: IfMatch = None,
) -> TenantSettings:
    """Change settings by JSON Merge Patch; `If-Match` says which state is changed."""
    row = await queries.lock_company(session)
    require_version(if_match, row.settings_version)
    platform = service.Platform(parts.settings.link_secret.get_secret_value(), parts.own_hosts)
    await service.update_settings(session, row, body, platform)
    return _present(row, response)


@router.get("/settings/schema", operation_id="getTenantSettingsSchema", dependencies=[owner_or_admin])
async def get_settings_schema(tenant_id: TenantId) -> dict[str, Any]:
    """JSON Schema of the settings: their defaults, what may be null, and what is read-only."""
    return settings_schema()


@router.get("/features", operation_id="getTenantFeatures")
async def get_features(tenant_id: TenantId, session: Session) -> TenantFeatures:
    """The feature flags of the plan, or what an operator said instead."""
    row = await queries.get_company(session)
    features = features_of(cast(Plan, row.plan), row.feature_overrides)
    return TenantFeatures(tenant_id=row.tenant_id, features=FeatureFlags.model_validate(features))


@router.get("/usage", operation_id="getTenantUsage", dependencies=[owner_or_admin])
async def get_usage(tenant_id: TenantId, session: Session) -> TenantUsage:
    """How many workspaces and users there are, the e-mails of this month (UTC), and the limits."""
    row = await queries.get_company(session)
    limits = limits_of(cast(Plan, row.plan), row.limit_overrides)
    return TenantUsage(
        tenant_id=row.tenant_id,
        usage=await present_usage(session),
        limits=LimitSettings.model_validate(limits),
    )


def _present(row: CompanyRow, response: Response) -> TenantSettings:
    set_etag(response, row.settings_version)
    plan = cast(Plan, row.plan)
    settings = effective_settings(row.company_name, plan, row.settings, row.limit_overrides)
    return TenantSettings(tenant_id=row.tenant_id, settings=Settings.model_validate(settings))
