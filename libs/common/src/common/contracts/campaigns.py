"""Events of the `campaigns` service. Contacts' addresses stay in the service: subscribers need ids only."""

from typing import ClassVar

from common.contracts.envelope import Event, Life, Topic
from common.ids import CampaignId, ContactId, TenantId, WorkspaceId


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

    name: str


class CampaignUpdated(_CampaignEvent):
    """`fields` names what changed, never the values."""

    ACTION: ClassVar[str | None] = "campaign.updated"

    fields: tuple[str, ...]


class CampaignDeleted(_CampaignEvent):
    ACTION: ClassVar[str | None] = "campaign.deleted"
    LIFE: ClassVar[Life] = "death"


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

    fields: tuple[str, ...]


class ContactDeleted(_ContactEvent):
    ACTION: ClassVar[str | None] = "contact.deleted"
    LIFE: ClassVar[Life] = "death"
