"""Pure rules of tenants: what each plan includes, and the settings of a tenant that has chosen none."""

from collections.abc import Mapping
from typing import Any, cast

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

DEFAULTS: dict[str, Any] = {
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
        **DEFAULTS,
        **chosen,
        "limits": limits_of(plan, limit_overrides).model_dump(),
    }
    for group in ("branding", "security"):
        settings[group] = {**DEFAULTS[group], **chosen.get(group, {})}
    return settings


def merge_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Merge Patch (RFC 7396): null removes, objects merge, all else replaces; no object stays empty."""
    merged = dict(target)
    for name, change in patch.items():
        is_object = isinstance(change, dict)
        value = merge_patch(merged.get(name, {}), cast(dict[str, Any], change)) if is_object else change
        if value is None or value == {}:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Dotted names of what differs between two sets of chosen settings, in alphabetical order."""
    old, new = _flat(before), _flat(after)
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(cast(dict[str, Any], value), f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def sets_branding(patch: Mapping[str, Any]) -> bool:
    """Whether a patch sets any part of the branding; removing it is always allowed."""
    branding: Mapping[str, Any] = patch.get("branding") or {}
    return any(value is not None for value in branding.values())
