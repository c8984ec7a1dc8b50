"""Requests and answers."""

from common.context import TenantRole, WorkspaceRole
from common.ids import SessionId, TenantId, UserId, WorkspaceId
from common.schema import Answer, Timestamp


class Membership(Answer):
    workspace_id: WorkspaceId
    role: WorkspaceRole


class Me(Answer):
    """Who the token's user is now, whatever the token says."""

    user_id: UserId
    tenant_id: TenantId
    session_id: SessionId
    email: str
    name: str
    role: TenantRole
    tenant_status: str
    workspaces: list[Membership]
    mfa_enabled: bool
    password_set: bool
    email_verified: bool
    created_at: Timestamp
