"""Requests and answers."""

from typing import Annotated

from pydantic import AfterValidator, Field

from common.contracts.campaigns import BULK
from common.ids import ContactId, ListId, WorkspaceId
from common.schema import Answer, Body, NotNull, Text, Timestamp


def _distinct(ids: list[ContactId]) -> list[ContactId]:
    return list(dict.fromkeys(ids))


class ContactListCreate(Body):
    workspace_id: WorkspaceId
    name: Text = Field(examples=["Newsletter"])


class ContactListUpdate(Body):
    """Fields left out stay as they are."""

    name: Annotated[Text | None, NotNull] = Field(default=None, examples=["Newsletter"])


class ContactListAdd(Body):
    contact_ids: Annotated[list[ContactId], Field(min_length=1, max_length=BULK), AfterValidator(_distinct)]


class ContactListAdded(Answer):
    """How many of the contacts were not in the list before."""

    list_id: ListId
    added: int


class ContactList(Answer):
    list_id: ListId
    workspace_id: WorkspaceId
    name: str
    created_at: Timestamp
    updated_at: Timestamp
