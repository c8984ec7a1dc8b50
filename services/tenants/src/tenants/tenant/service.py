"""What can be done with a tenant."""

from typing import cast

from common.bus import outbox
from common.contracts.tenants import Plan, TenantSettingsUpdated
from common.db.session import TenantSession
from tenants.models import CompanyRow
from tenants.tenant.errors import FeatureDisabled
from tenants.tenant.rules import changed_names, features_of, merge_patch, sets_branding
from tenants.tenant.schemas import SettingsUpdate


async def update_settings(session: TenantSession, row: CompanyRow, body: SettingsUpdate) -> None:
    """Merge a patch into the settings of the locked `row`; what is so already changes nothing.

    Raises:
        FeatureDisabled: it sets branding, which the tenant may not.
    """
    patch = body.model_dump(exclude_unset=True)
    features = features_of(cast(Plan, row.plan), row.feature_overrides)
    if sets_branding(patch) and not features.custom_branding:
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
