"""Events of the `campaigns` service. Contacts' addresses stay in the service: subscribers need ids only."""

from datetime import date
from typing import Annotated, ClassVar

from pydantic import Field

from common.contracts.envelope import Event, Life, Topic
from common.contracts.texts import DomainName, FieldName, Name
from common.ids import CampaignId, ContactId, DomainId, ListId, TemplateId, TenantId, WorkspaceId

BULK = 500
"""Ids that one event carries at most."""


class _CampaignEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.campaigns"
    SUBJECT: ClassVar[str] = "campaign_id"
    RESOURCE: ClassVar[str] = "campaign"

    tenant_id: TenantId
    workspace_id: WorkspaceId
    campaign_id: CampaignId
    version: int


class CampaignCreated(_CampaignEvent):
    ACTION: ClassVar[str | None] = "campaign.created"
    LIFE: ClassVar[Life] = "birth"

    name: Name


class CampaignUpdated(_CampaignEvent):
    """`fields` names what changed, never the values."""

    ACTION: ClassVar[str | None] = "campaign.updated"

    fields: tuple[FieldName, ...]


class CampaignPaused(_CampaignEvent):
    """It sends no more until somebody has it go on."""

    ACTION: ClassVar[str | None] = "campaign.paused"

    reason: Annotated[str, Field(examples=["tenant_suspended", "tenant_deletion_scheduled"])]


class CampaignDeleted(_CampaignEvent):
    ACTION: ClassVar[str | None] = "campaign.deleted"
    LIFE: ClassVar[Life] = "death"


class EmailSendsReserved(Event):
    """`added` e-mails were reserved of the tenant's monthly limit; `reserved` is the month's sum since then.

    `month` is its first day (UTC); `version` counts the reservations of the month. Told again
    for projections, `added` is 0.
    """

    TOPIC: ClassVar[Topic] = "penguinmails.campaigns"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "tenant"
    ACTION: ClassVar[str | None] = None
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    version: int
    month: Annotated[date, Field(examples=["2026-11-01"])]
    reserved: int
    added: int


class _ContactEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.campaigns"
    SUBJECT: ClassVar[str] = "contact_id"
    RESOURCE: ClassVar[str] = "contact"

    tenant_id: TenantId
    workspace_id: WorkspaceId
    contact_id: ContactId
    version: int


class ContactCreated(_ContactEvent):
    ACTION: ClassVar[str | None] = "contact.created"
    LIFE: ClassVar[Life] = "birth"


class ContactUpdated(_ContactEvent):
    """`fields` names what changed, never the values."""

    ACTION: ClassVar[str | None] = "contact.updated"

    fields: tuple[FieldName, ...]


class ContactDeleted(_ContactEvent):
    ACTION: ClassVar[str | None] = "contact.deleted"
    LIFE: ClassVar[Life] = "death"


class _ListEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.campaigns"
    SUBJECT: ClassVar[str] = "list_id"
    RESOURCE: ClassVar[str] = "list"

    tenant_id: TenantId
    workspace_id: WorkspaceId
    list_id: ListId
    version: int


class ListCreated(_ListEvent):
    ACTION: ClassVar[str | None] = "list.created"
    LIFE: ClassVar[Life] = "birth"

    name: Name


class ListUpdated(_ListEvent):
    """`fields` names what changed, never the values."""

    ACTION: ClassVar[str | None] = "list.updated"

    fields: tuple[FieldName, ...]


class ListDeleted(_ListEvent):
    ACTION: ClassVar[str | None] = "list.deleted"
    LIFE: ClassVar[Life] = "death"


class ListContactsAdded(_ListEvent):
    """Those that were not in the list before. A contact's own end takes it out without an event."""

    ACTION: ClassVar[str | None] = "list.contacts_added"

    contact_ids: Annotated[tuple[ContactId, ...], Field(max_length=BULK)]


class ListContactRemoved(_ListEvent):
    ACTION: ClassVar[str | None] = "list.contact_removed"

    contact_id: ContactId


class _TemplateEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.campaigns"
    SUBJECT: ClassVar[str] = "template_id"
    RESOURCE: ClassVar[str] = "template"

    tenant_id: TenantId
    workspace_id: WorkspaceId
    template_id: TemplateId
    version: int


class TemplateCreated(_TemplateEvent):
    ACTION: ClassVar[str | None] = "template.created"
    LIFE: ClassVar[Life] = "birth"

    name: Name


class TemplateUpdated(_TemplateEvent):
    """`fields` names what changed, never the values."""

    ACTION: ClassVar[str | None] = "template.updated"

    fields: tuple[FieldName, ...]


class TemplateDeleted(_TemplateEvent):
    ACTION: ClassVar[str | None] = "template.deleted"
    LIFE: ClassVar[Life] = "death"


class _DomainEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.campaigns"
    SUBJECT: ClassVar[str] = "domain_id"
    RESOURCE: ClassVar[str] = "domain"

    tenant_id: TenantId
    workspace_id: WorkspaceId
    domain_id: DomainId
    version: int
    domain: DomainName


class DomainAdded(_DomainEvent):
    """A tenant means to send from the domain; nothing is verified yet."""

    ACTION: ClassVar[str | None] = "domain.added"
    LIFE: ClassVar[Life] = "birth"


class DomainRemoved(_DomainEvent):
    ACTION: ClassVar[str | None] = "domain.removed"
    LIFE: ClassVar[Life] = "death"
