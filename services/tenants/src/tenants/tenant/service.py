"""What can be done with a tenant."""

from collections.abc import Mapping
from typing import Any, cast

from common.bus import outbox
from common.contracts.tenants import (
    Plan,
    TenantFeaturesUpdated,
    TenantLimitsUpdated,
    TenantPlanChanged,
    TenantSettingsUpdated,
)
from common.db.session import TenantSession
from common.flags import is_on
from tenants.models import CompanyRow
from tenants.tenant.errors import FeatureDisabled
from tenants.tenant.rules import changed_names, features_of, limits_of, merge_patch, sets_branding
from tenants.tenant.schemas import SettingsUpdate


async def update_settings(session: TenantSession, row: CompanyRow, body: SettingsUpdate) -> None:
    """Merge a patch into the settings of the locked `row`; what is so already changes nothing.

    Raises:
        FeatureDisabled: it sets branding, which the tenant may not.
    """
    patch = body.model_dump(exclude_unset=True)
    features = features_of(cast(Plan, row.plan), row.feature_overrides)
    may_brand = is_on("custom_branding", session.tenant_id, features.model_dump())
    if sets_branding(patch) and not may_brand:
        raise FeatureDisabled("custom_branding")
    before = {**row.settings, "company_name": row.company_name}
    after = merge_patch(before, patch)
    fields = changed_names(before, after)
    if not fields:
        return
    row.company_name = after.pop("company_name")
    row.settings = after
    row.settings_version += 1
    await session.flush()
    await outbox.emit(
        session,
        TenantSettingsUpdated(
            tenant_id=session.tenant_id, version=row.version, fields=fields, company_name=row.company_name
        ),
    )


async def change_plan(session: TenantSession, row: CompanyRow, plan: Plan) -> None:
    """Put the tenant of the locked `row` on a plan; what operators overrode stays overridden."""
    if plan == row.plan:
        return
    row.plan = plan
    row.settings_version += 1
    await session.flush()
    await outbox.emit(
        session,
        TenantPlanChanged(
            tenant_id=session.tenant_id,
            version=row.version,
            plan=plan,
            limits=limits_of(plan, row.limit_overrides),
            features=features_of(plan, row.feature_overrides),
        ),
    )


async def override_limits(session: TenantSession, row: CompanyRow, overrides: Mapping[str, int]) -> None:
    """Let `overrides` (all of them: an empty mapping is the plan alone) hold for the locked `row`."""
    plan = cast(Plan, row.plan)
    if dict(overrides) == row.limit_overrides:
        return
    row.limit_overrides = dict(overrides)
    row.settings_version += 1
    await session.flush()
    limits = limits_of(plan, overrides)
    await outbox.emit(
        session, TenantLimitsUpdated(tenant_id=session.tenant_id, version=row.version, limits=limits)
    )


async def override_features(session: TenantSession, row: CompanyRow, overrides: Mapping[str, Any]) -> None:
    """Let `overrides` (all of them: an empty mapping is the plan alone) hold for the locked `row`."""
    plan = cast(Plan, row.plan)
    if dict(overrides) == row.feature_overrides:
        return
    row.feature_overrides = dict(overrides)
    await session.flush()
    features = features_of(plan, overrides)
    await outbox.emit(
        session, TenantFeaturesUpdated(tenant_id=session.tenant_id, version=row.version, features=features)
    )
