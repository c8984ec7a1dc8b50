"""Requests and answers."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from common.ids import ContactId, WorkspaceId
from common.schema import Answer, Body, Email, JsonObject, NotNull, Text, Timestamp

ContactStatus = Literal["subscribed", "unsubscribed", "bounced", "complained"]
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_BYTES = 32 * 1024
MAX_TAGS = 50


def _bounded(attributes: dict[str, Any]) -> dict[str, Any]:
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"must not have more than {MAX_ATTRIBUTES} keys")
    if len(json.dumps(attributes, ensure_ascii=False).encode()) > MAX_ATTRIBUTE_BYTES:
        raise ValueError(f"must not be larger than {MAX_ATTRIBUTE_BYTES} bytes")
    return attributes


def _distinct(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Attributes = Annotated[JsonObject, AfterValidator(_bounded)]
Tags = Annotated[
    list[Annotated[Text, Field(max_length=64)]], Field(max_length=MAX_TAGS), AfterValidator(_distinct)
]


class ContactCreate(Body):
    workspace_id: WorkspaceId
    email: Email = Field(examples=["ada@customer.example"])
    name: Text | None = Field(default=None, examples=["Ada Lovelace"])
    attributes: Attributes = Field(default={}, examples=[{"city": "London"}])
    tags: Tags = Field(default=[], examples=[["newsletter"]])


class ContactUpdate(Body):
    """Fields left out stay as they are; `attributes` and `tags` are replaced as a whole."""

    email: Annotated[Email | None, NotNull] = Field(default=None, examples=["ada@customer.example"])
    name: Text | None = Field(default=None, examples=["Ada Lovelace"])
    attributes: Annotated[Attributes | None, NotNull] = None
    tags: Annotated[Tags | None, NotNull] = None
    status: Annotated[Literal["subscribed", "unsubscribed"] | None, NotNull] = None


class Contact(Answer):
    contact_id: ContactId
    workspace_id: WorkspaceId
    email: str
    name: str | None
    attributes: dict[str, Any]
    tags: list[str]
    status: ContactStatus
    created_at: Timestamp
    updated_at: Timestamp
