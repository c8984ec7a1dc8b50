"""Events of the `tenants` service."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from common.contracts.envelope import Event, Life, Part, Topic
from common.contracts.texts import CompanyName, DomainName, Email, FieldName, Name, PersonName, Slug
from common.ids import TenantId, UserId, WorkspaceId

Plan = Literal["starter", "professional", "enterprise"]


class Limits(Part):
    max_workspaces: int
    max_users: int
    email_sends_per_month: int


class Features(Part):
    """Feature flags; `api_rate_limit` in requests per minute, `data_retention_days` in days."""

    api_rate_limit: int
    data_retention_days: int
    custom_branding: bool
    beta_features: bool


class Owner(Part):
    user_id: UserId
    email: Email
    name: PersonName


class DefaultWorkspace(Part):
    workspace_id: WorkspaceId
    name: Name
    slug: Slug


class _TenantEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.tenants"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "tenant"

    tenant_id: TenantId
    version: int


class TenantProvisioned(_TenantEvent):
    """A tenant exists. Carries all that a projection needs for its first token to work everywhere."""

    ACTION: ClassVar[str | None] = "tenant.provisioned"
    LIFE: ClassVar[Life] = "birth"

    company_name: CompanyName
    plan: Plan
    limits: Limits
    features: Features
    owner: Owner
    default_workspace: DefaultWorkspace


class ProvisioningResumed(Event):
    """An operator had the unfinished steps of a sign-up tried again."""

    TOPIC: ClassVar[Topic] = "penguinmails.tenants"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "tenant"
    ACTION: ClassVar[str | None] = "tenant.provisioning_resumed"

    tenant_id: TenantId
    steps: tuple[Annotated[str, Field(examples=["welcome_mail"])], ...]


class TenantDescribed(_TenantEvent):
    """The tenant as it is now, told again for projections; nothing has happened to it."""

    ACTION: ClassVar[str | None] = None

    company_name: str
    status: Literal["active", "suspended", "deleting", "deleted"]
    plan: Plan
    limits: Limits
    features: Features


class TenantSuspended(_TenantEvent):
    ACTION: ClassVar[str | None] = "tenant.suspended"

    reason: Annotated[str, Field(examples=["unpaid"])]


class TenantReactivated(_TenantEvent):
    ACTION: ClassVar[str | None] = "tenant.reactivated"


class TenantSettingsUpdated(_TenantEvent):
    """`fields` names what changed (`branding.logo_url`); of the values only the company's name is told."""

    ACTION: ClassVar[str | None] = "tenant.settings_updated"

    fields: tuple[FieldName, ...]
    company_name: CompanyName


class LinkHostChanged(_TenantEvent):
    """The host of the tenant's tracking and unsubscribe links, which DNS confirms; null: the platform's.

    It is used while the tenant has the feature `custom_branding`.
    """

    ACTION: ClassVar[str | None] = "tenant.link_host_changed"

    link_host: DomainName | None


class TenantFeaturesUpdated(_TenantEvent):
    """The feature flags changed; carries all of them as they are now."""

    ACTION: ClassVar[str | None] = "tenant.features_updated"

    features: Features


class TenantLimitsUpdated(_TenantEvent):
    """An operator changed the limits; carries all of them as they are now."""

    ACTION: ClassVar[str | None] = "tenant.limits_updated"

    limits: Limits


class TenantPlanChanged(_TenantEvent):
    """The tenant is on another plan; carries the limits and features that hold from now on."""

    ACTION: ClassVar[str | None] = "tenant.plan_changed"

    plan: Plan
    limits: Limits
    features: Features


class SubscriptionChanged(_TenantEvent):
    """The Stripe customer or subscription of the tenant changed; ids are Stripe's own."""

    ACTION: ClassVar[str | None] = "subscription.changed"

    plan: Plan
    status: Annotated[str, Field(examples=["active"])]
    customer_id: Annotated[str, Field(examples=["cus_Q3mQX0rEPtlFJd"])]
    subscription_id: Annotated[str, Field(examples=["sub_1PWkRxLkdIwHu7ix"])]


class TenantSuspensionOrdered(_TenantEvent):
    """An operator wants the tenant suspended, and says why; it may have been, for another cause."""

    ACTION: ClassVar[str | None] = "tenant.suspension_ordered"

    reason: Annotated[str, Field(examples=["Sends to bought lists"])]


class TenantSuspensionLifted(_TenantEvent):
    """No operator wants the tenant suspended any more; another cause may keep it so."""

    ACTION: ClassVar[str | None] = "tenant.suspension_lifted"
