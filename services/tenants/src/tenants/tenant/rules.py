"""Pure rules of tenants: what each plan includes, and the settings of a tenant that has chosen none."""

from collections.abc import Mapping
from typing import Any

from common.contracts.tenants import Features, Limits, Plan

LIMITS: dict[Plan, Limits] = {
    "starter": Limits(max_workspaces=3, max_users=3, email_sends_per_month=10_000),
    "professional": Limits(max_workspaces=10, max_users=5, email_sends_per_month=50_000),
    "enterprise": Limits(max_workspaces=1000, max_users=1000, email_sends_per_month=5_000_000),
}

FEATURES: dict[Plan, Features] = {
    "starter": Features(
        api_rate_limit=300, data_retention_days=90, custom_branding=False, beta_features=False
    ),
    "professional": Features(
        api_rate_limit=1200, data_retention_days=365, custom_branding=False, beta_features=False
    ),
    "enterprise": Features(
        api_rate_limit=12_000, data_retention_days=1095, custom_branding=True, beta_features=False
    ),
}

_DEFAULTS: dict[str, Any] = {
    "company_address": "",
    "timezone": "UTC",
    "date_format": "YYYY-MM-DD",
    "default_reply_to": None,
    "branding": {"logo_url": None, "primary_color": None, "custom_domain": None},
    "security": {"auto_lock": "off", "mfa_required": False},
}


def limits_of(plan: Plan, overrides: Mapping[str, int]) -> Limits:
    """The plan's limits, unless an operator said otherwise."""
    return LIMITS[plan].model_copy(update=dict(overrides))


def features_of(plan: Plan, overrides: Mapping[str, Any]) -> Features:
    """The plan's features, unless an operator said otherwise."""
    return FEATURES[plan].model_copy(update=dict(overrides))


def effective_settings(
    company_name: str, plan: Plan, chosen: Mapping[str, Any], limit_overrides: Mapping[str, int]
) -> dict[str, Any]:
    """All settings of a tenant: what it chose (nested objects field by field), defaults for the rest."""
    settings: dict[str, Any] = {
        "company_name": company_name,
        "email_sender_name": company_name,
        **_DEFAULTS,
        **chosen,
        "limits": limits_of(plan, limit_overrides).model_dump(),
    }
    for group in ("branding", "security"):
        settings[group] = {**_DEFAULTS[group], **chosen.get(group, {})}
    return settings
