"""A tenant as operators see it."""

from typing import cast

from common.contracts.tenants import Plan
from common.db.session import TenantSession
from tenants.models import CompanyRow
from tenants.platform.schemas import FeatureOverrides, LimitOverrides, Status, TenantDetail
from tenants.tenant.presentation import present_usage
from tenants.tenant.rules import features_of, limits_of
from tenants.tenant.schemas import FeatureFlags, LimitSettings


async def present(session: TenantSession, row: CompanyRow) -> TenantDetail:
    """The tenant with what holds for it now, and why."""
    plan = cast(Plan, row.plan)
    return TenantDetail(
        tenant_id=row.tenant_id,
        company_name=row.company_name,
        plan=plan,
        status=cast(Status, row.status),
        suspensions=row.suspensions,
        created_at=row.created_at,
        owner_user_id=row.owner_user_id,
        default_workspace_id=row.default_workspace_id,
        limits=LimitSettings.model_validate(limits_of(plan, row.limit_overrides)),
        features=FeatureFlags.model_validate(features_of(plan, row.feature_overrides)),
        limit_overrides=LimitOverrides.model_validate(row.limit_overrides),
        feature_overrides=FeatureOverrides.model_validate(row.feature_overrides),
        usage=await present_usage(session),
    )
