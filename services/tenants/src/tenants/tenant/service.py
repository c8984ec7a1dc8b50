"""What can be done with a tenant."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from common.bus import outbox
from common.contracts.campaigns import EmailSendsReserved
from common.contracts.tenants import (
    Plan,
    TenantFeaturesUpdated,
    TenantLimitsUpdated,
    TenantPlanChanged,
    TenantSettingsUpdated,
)
from common.db.session import TenantSession
from common.flags import is_on
from tenants.custom_domain import service as custom_domain
from tenants.custom_domain.errors import DomainUnavailable
from tenants.custom_domain.rules import is_reserved
from tenants.models import CompanyRow
from tenants.tenant import queries
from tenants.tenant.errors import FeatureDisabled
from tenants.tenant.rules import changed_names, features_of, limits_of, merge_patch, sets_branding
from tenants.tenant.schemas import SettingsUpdate

_CUSTOM_DOMAIN = "branding.custom_domain"


@dataclass(frozen=True, slots=True)
class Platform:
    """What a change of settings has to know of the platform; no tenant may have `own_hosts`."""

    secret: str
    own_hosts: Collection[str]


async def update_settings(
    session: TenantSession, row: CompanyRow, body: SettingsUpdate, platform: Platform
) -> None:
    """Merge a patch into the settings of the locked `row`; what is so already changes nothing.

    Raises:
        FeatureDisabled: it sets branding, which the tenant may not.
        DomainUnavailable: it names a custom domain that another tenant or the platform has.
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
    leaves_domain = _CUSTOM_DOMAIN in fields and await _choose_domain(session, after, platform)
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
    if leaves_domain:
        await custom_domain.tell(session, row, None)


async def _choose_domain(session: TenantSession, chosen: Mapping[str, Any], platform: Platform) -> bool:
    """Claim the custom domain of the chosen settings; True when links have used the one before."""
    domain: str | None = chosen.get("branding", {}).get("custom_domain")
    if domain is not None and is_reserved(domain, platform.own_hosts):
        raise DomainUnavailable
    return await custom_domain.choose(session, domain, platform.secret)


async def note_monthly_sends(session: TenantSession, event: EmailSendsReserved) -> None:
    """What the tenant has sent this month; an older event changes nothing."""
    await queries.put_monthly_sends(session, event.month, event.reserved, event.version)


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
