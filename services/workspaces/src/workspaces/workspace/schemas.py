"""Requests and answers."""

from typing import Annotated

from pydantic import Field, StringConstraints

from common.ids import UserId, WorkspaceId
from common.schema import Answer, Body, NotNull, Text, Timestamp

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}$")]
Description = Annotated[Text, Field(max_length=255)] | Annotated[str, StringConstraints(max_length=0)]


class WorkspaceCreate(Body):
    name: Text = Field(examples=["Spring launch"])
    slug: Slug | None = Field(default=None, examples=["spring-launch"])
    description: Description = Field(default="", examples=["All about spring"])


class WorkspaceUpdate(Body):
    """Fields left out stay as they are; null is refused."""

    name: Annotated[Text | None, NotNull] = None
    slug: Annotated[Slug | None, NotNull] = None
    description: Annotated[Description | None, NotNull] = None


class Member(Answer):
    user_id: UserId
    role: str


class Workspace(Answer):
    workspace_id: WorkspaceId
    name: str
    slug: str
    description: str
    status: str
    created_at: Timestamp
    updated_at: Timestamp


class WorkspaceDetails(Workspace):
    members: list[Member]
