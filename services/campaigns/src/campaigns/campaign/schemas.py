"""Requests and answers."""

from typing import Annotated, Literal

from pydantic import Field

from common.ids import CampaignId, ListId, TemplateId, WorkspaceId
from common.schema import Answer, Body, Email, NotNull, Text, Timestamp

CampaignStatus = Literal["draft", "scheduled", "sending", "sent", "paused", "cancelled", "failed"]


class CampaignCreate(Body):
    workspace_id: WorkspaceId
    name: Text = Field(examples=["Spring launch"])
    subject: Text | None = Field(default=None, examples=["Spring is here"])
    from_name: Text | None = Field(default=None, examples=["Acme News"])
    from_email: Email | None = Field(default=None, examples=["news@acme.example"])
    reply_to: Email | None = Field(default=None, examples=["hello@acme.example"])
    template_id: TemplateId | None = None
    list_id: ListId | None = None


class CampaignUpdate(Body):
    """Fields left out stay as they are; null clears those that may be absent."""

    name: Annotated[Text | None, NotNull] = Field(default=None, examples=["Spring launch"])
    subject: Text | None = Field(default=None, examples=["Spring is here"])
    from_name: Text | None = None
    from_email: Email | None = None
    reply_to: Email | None = None
    template_id: TemplateId | None = None
    list_id: ListId | None = None


class Campaign(Answer):
    campaign_id: CampaignId
    workspace_id: WorkspaceId
    name: str
    subject: str | None
    from_name: str | None
    from_email: str | None
    reply_to: str | None
    template_id: TemplateId | None
    list_id: ListId | None
    status: CampaignStatus
    created_at: Timestamp
    updated_at: Timestamp
