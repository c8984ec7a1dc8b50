"""JSON Schema of a tenant's settings, for forms: what PATCH takes, with defaults and the read-only part."""

from typing import Any, cast

from tenants.tenant.rules import DEFAULTS
from tenants.tenant.schemas import LimitSettings, SettingsUpdate

Json = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_GROUPS = {"branding": "BrandingUpdate", "security": "SecurityUpdate"}


def settings_schema() -> Json:
    """Valid for every answer of GET on the settings and for every patch that names nothing read-only."""
    schema = SettingsUpdate.model_json_schema()
    properties: Json = schema["properties"]
    properties.pop("plan")
    properties["limits"] = {**LimitSettings.model_json_schema(), "readOnly": True}
    _put_defaults(properties, DEFAULTS)
    for group, model in _GROUPS.items():
        _put_defaults(schema["$defs"][model]["properties"], DEFAULTS[group])
    properties["email_sender_name"]["description"] = "The company's name, unless another is chosen."
    described = "The settings. In a patch, null brings a default back, and read-only members are refused."
    return {"$schema": _DIALECT, **schema, "title": "Settings", "description": described}


def _put_defaults(properties: Json, defaults: Json) -> None:
    """The value that each member has until it is chosen; none where it depends on something else."""
    for name, property_ in cast(dict[str, Json], properties).items():
        property_.pop("default", None)
        if name in defaults:
            property_["default"] = defaults[name]
