"""Requests and answers."""

from typing import Literal

from pydantic import Field

from auth.password.schemas import NewPassword
from common.context import TenantRole, WorkspaceRole
from common.ids import InvitationId, UserId, WorkspaceId
from common.schema import Answer, Body, Email, Text, Timestamp


class InvitedMembership(Body):
    workspace_id: WorkspaceId
    role: WorkspaceRole


class InvitationCreate(Body):
    email: Email
    role: TenantRole
    workspaces: list[InvitedMembership] = Field(default=[], max_length=50)


class InvitationAccept(Body):
    token: str = Field(min_length=1, max_length=200, description="The secret of the mailed link")
    name: Text
    password: NewPassword = Field(examples=["a walrus on a bicycle"])


class MembershipOffer(Answer):
    workspace_id: WorkspaceId
    role: WorkspaceRole


class Invitation(Answer):
    invitation_id: InvitationId
    email: str
    role: TenantRole
    memberships: list[MembershipOffer] = Field(serialization_alias="workspaces")
    invited_by: UserId
    status: Literal["pending", "accepted", "revoked", "expired"]
    created_at: Timestamp
    expires_at: Timestamp
