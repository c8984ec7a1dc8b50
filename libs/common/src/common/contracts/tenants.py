"""Events of the `tenants` service."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from common.contracts.envelope import Event, Life, Part, Topic
from common.contracts.texts import CompanyName, DomainName, Email, FieldName, Name, PersonName, Slug
from common.ids import JobId, TenantId, UserId, WorkspaceId

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


class ProvisioningResumed(_TenantEvent):
    """An operator had the unfinished steps of a sign-up tried again."""

    ACTION: ClassVar[str | None] = "tenant.provisioning_resumed"

    steps: tuple[Annotated[str, Field(examples=["welcome_mail"])], ...]


class TenantDescribed(_TenantEvent):
    """The tenant as it is now, told again for projections; nothing has happened to it. `link_host`: see
    `LinkHostChanged`."""

    ACTION: ClassVar[str | None] = None

    company_name: str
    status: Literal["active", "suspended", "deleting", "deleted"]
    plan: Plan
    limits: Limits
    features: Features
    link_host: DomainName | None = None


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


class TenantDeletionScheduled(_TenantEvent):
    """Its owner wants the tenant deleted: it may do as much as a suspended one, until it is erased."""

    ACTION: ClassVar[str | None] = "tenant.deletion_scheduled"

    erase_at: datetime


class TenantDeletionCancelled(_TenantEvent):
    """The tenant stays, as it was before."""

    ACTION: ClassVar[str | None] = "tenant.deletion_cancelled"

    status: Literal["active", "suspended"]


class TenantDeletionResumed(_TenantEvent):
    """An operator had the next step of a deletion taken at once, after its grace."""

    ACTION: ClassVar[str | None] = "tenant.deletion_resumed"


class TenantDeleted(_TenantEvent):
    """The grace is over: every service erases what it has of the tenant, and says so with `TenantErased`."""

    ACTION: ClassVar[str | None] = "tenant.deleted"
    LIFE: ClassVar[Life] = "death"


class ErasedRows(Part):
    table: Annotated[str, Field(examples=["campaigns.contacts"])]
    rows: int


class KeptRows(Part):
    """What stays of an erased tenant, and why."""

    what: Annotated[str, Field(examples=["tenancy.tenants"])]
    why: Annotated[str, Field(examples=["the id and that it is deleted"])]


class TenantErased(_TenantEvent):
    """A service has erased what it had of a deleted tenant. Told once by each, unless asked again;
    `version`: of the deletion."""

    ACTION: ClassVar[str | None] = "tenant.erased"
    OUTLIVES_TENANT: ClassVar[bool] = True
    FROM_ANY: ClassVar[bool] = True

    service: Annotated[str, Field(examples=["campaigns"])]
    erased: tuple[ErasedRows, ...]
    kept: tuple[KeptRows, ...]


class TenantErasureAwaited(_TenantEvent):
    """Some services have not said for long that they have erased a deleted tenant: they do it now, whether or
    not they know of the deletion, and say so (again)."""

    ACTION: ClassVar[str | None] = "tenant.erasure_awaited"
    OUTLIVES_TENANT: ClassVar[bool] = True

    services: tuple[Annotated[str, Field(examples=["campaigns"])], ...]


class TenantDeletionCertified(_TenantEvent):
    """Every service has erased the tenant and its events are beyond all retention; there is a certificate."""

    ACTION: ClassVar[str | None] = "tenant.deletion_certified"
    OUTLIVES_TENANT: ClassVar[bool] = True

    services: tuple[Annotated[str, Field(examples=["campaigns"])], ...]
    rows: int


class _ExportEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.tenants"
    SUBJECT: ClassVar[str] = "job_id"
    RESOURCE: ClassVar[str] = "export"

    tenant_id: TenantId
    job_id: JobId
    version: int


class TenantExportRequested(_ExportEvent):
    """The tenant wants a copy of all that is its own: every service writes its part."""

    ACTION: ClassVar[str | None] = "export.requested"
    LIFE: ClassVar[Life] = "birth"


class ExportedRows(Part):
    resource: Annotated[str, Field(examples=["contacts"])]
    rows: int


class TenantPartExported(_ExportEvent):
    """A service has written its part of an export, where files are kept. `version`: of the request."""

    ACTION: ClassVar[str | None] = "export.part_written"
    FROM_ANY: ClassVar[bool] = True

    service: Annotated[str, Field(examples=["campaigns"])]
    resources: tuple[ExportedRows, ...]


class TenantExportFinished(_ExportEvent):
    """All parts are in one archive, which can be fetched until `expires_at`."""

    ACTION: ClassVar[str | None] = "export.finished"

    expires_at: datetime


class TenantExportFailed(_ExportEvent):
    """Some service has not written its part in time."""

    ACTION: ClassVar[str | None] = "export.failed"

    missing: tuple[Annotated[str, Field(examples=["campaigns"])], ...]


class PlanChangeRequested(_TenantEvent):
    """The owner wants another plan. It holds when Stripe has it: then `TenantPlanChanged` says so."""

    ACTION: ClassVar[str | None] = "subscription.change_requested"

    plan: Plan


class SubscriptionChanged(_TenantEvent):
    """The Stripe customer or subscription of the tenant changed; ids are Stripe's own."""

    ACTION: ClassVar[str | None] = "subscription.changed"

    plan: Plan
    status: Annotated[str, Field(examples=["active"])]
    customer_id: Annotated[str, Field(examples=["cus_Q3mQX0rEPtlFJd"])]
    subscription_id: Annotated[str, Field(examples=["sub_1PWkRxLkdIwHu7ix"])]


class ReconciliationOrdered(Event):
    """An operator wants billing compared with Stripe: the tenant's, or everybody's in the platform's own log.
    `dry_run`: without mending what differs."""

    TOPIC: ClassVar[Topic] = "penguinmails.tenants"
    SUBJECT: ClassVar[str] = "job_id"
    RESOURCE: ClassVar[str] = "reconciliation"
    ACTION: ClassVar[str | None] = "billing.reconciliation_ordered"

    tenant_id: TenantId
    job_id: JobId
    version: int
    dry_run: bool


class TenantSuspensionOrdered(_TenantEvent):
    """An operator wants the tenant suspended, and says why; it may have been, for another cause."""

    ACTION: ClassVar[str | None] = "tenant.suspension_ordered"

    reason: Annotated[str, Field(examples=["Sends to bought lists"])]


class TenantSuspensionLifted(_TenantEvent):
    """No operator wants the tenant suspended any more; another cause may keep it so."""

    ACTION: ClassVar[str | None] = "tenant.suspension_lifted"
