"""Requests and answers."""

from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from common.ids import TenantId, UserId, WorkspaceId
from common.schema import Answer, Body, Email, NotNull, Text, Timestamp
from tenants.custom_domain.rules import normal_domain

_NO_ZONES = {"Factory", "localtime"}
"""Names that mean another time on every machine."""
_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_ZONES)


def _known_zone(text: str) -> str:
    if text not in _zones():
        raise ValueError("must be the name of an IANA time zone, such as Europe/Paris")
    return text


def _https_url(text: str) -> str:
    try:
        url = _URL.validate_python(text)
    except ValidationError as error:
        raise ValueError("must be a URL") from error
    if url.scheme != "https" or url.username is not None or url.password is not None:
        raise ValueError("must be an https URL without a user name")
    return str(url)


def _printable_lines(text: str) -> str:
    if any(not char.isprintable() for char in text.replace("\n", "")):
        raise ValueError("must not contain control characters other than line feeds")
    return text


def _read_only(value: Any) -> None:
    raise ValueError("is read-only: it follows the plan")


Timezone = Annotated[Text, AfterValidator(_known_zone), Field(examples=["Europe/Paris"])]
Address = Annotated[
    str, StringConstraints(max_length=500, strip_whitespace=True), AfterValidator(_printable_lines)
]
DateFormat = Literal["YYYY-MM-DD", "DD/MM/YYYY", "MM/DD/YYYY", "DD.MM.YYYY"]
HttpsUrl = Annotated[
    str,
    StringConstraints(max_length=2000),
    AfterValidator(_https_url),
    WithJsonSchema({"type": "string", "format": "uri", "pattern": "^https://", "maxLength": 2000}),
]
Colour = Annotated[
    str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$", to_lower=True), Field(examples=["#0b5fff"])
]
HostName = Annotated[
    Text,
    AfterValidator(normal_domain),
    WithJsonSchema({"type": "string", "format": "hostname", "maxLength": 255}),
]
"""Normalised; internationalised names become A-labels."""
ReadOnly = Annotated[None, BeforeValidator(_read_only), WithJsonSchema({"readOnly": True})]
"""Shown, and refused when named."""

# What a tenant may choose before anything acts on it says so wherever it is shown.
_AUTO_LOCK: Any = Field(
    description="From which severity of a finding on the account is locked. Kept, and not enforced by this "
    "version: it raises no findings and locks nobody."
)
_MFA_REQUIRED: Any = Field(
    description="Whether users need a second factor. Kept, and not enforced by this version: users have "
    "none, and log in without one."
)


class Tenant(Answer):
    tenant_id: TenantId
    company_name: str
    plan: str
    status: str
    owner_user_id: UserId
    default_workspace_id: WorkspaceId
    created_at: Timestamp
    updated_at: Timestamp


class Branding(Answer):
    logo_url: str | None
    primary_color: str | None
    custom_domain: str | None


class LimitSettings(Answer):
    max_workspaces: int
    max_users: int
    email_sends_per_month: int


class Security(Answer):
    auto_lock: Annotated[Literal["off", "high"], _AUTO_LOCK]
    mfa_required: Annotated[bool, _MFA_REQUIRED]


class Settings(Answer):
    company_name: str
    company_address: str
    timezone: str
    date_format: str
    email_sender_name: str
    default_reply_to: str | None
    branding: Branding
    limits: LimitSettings
    security: Security


class TenantSettings(Answer):
    tenant_id: TenantId
    settings: Settings


class FeatureFlags(Answer):
    """`api_rate_limit` in requests per minute, `data_retention_days` in days."""

    api_rate_limit: int
    data_retention_days: int
    custom_branding: bool
    beta_features: bool


class TenantFeatures(Answer):
    tenant_id: TenantId
    features: FeatureFlags


class InUse(Answer):
    """As the events of other services have told it: usually less than a second old."""

    workspaces: int
    users: int
    email_sends_this_month: int


class TenantUsage(Answer):
    tenant_id: TenantId
    usage: InUse
    limits: LimitSettings


class BrandingUpdate(Body):
    logo_url: HttpsUrl | None = None
    primary_color: Colour | None = None
    custom_domain: HostName | None = None


class SecurityUpdate(Body):
    auto_lock: Annotated[Literal["off", "high"] | None, _AUTO_LOCK] = None
    mfa_required: Annotated[StrictBool | None, _MFA_REQUIRED] = None


class SettingsUpdate(Body):
    """A JSON Merge Patch (RFC 7396): null brings the default back; the company's name has none."""

    company_name: Annotated[Text | None, NotNull] = None
    company_address: Address | None = None
    timezone: Timezone | None = None
    date_format: DateFormat | None = None
    email_sender_name: Text | None = None
    default_reply_to: Email | None = None
    branding: BrandingUpdate | None = None
    security: SecurityUpdate | None = None
    limits: ReadOnly = None
    plan: ReadOnly = None
