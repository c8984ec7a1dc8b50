"""Requests and answers."""

from common.context import WorkspaceRole
from common.ids import UserId
from common.schema import Answer, Body, Timestamp


class MemberAdd(Body):
    user_id: UserId
    role: WorkspaceRole


class MemberUpdate(Body):
    role: WorkspaceRole


class MemberDetails(Answer):
    user_id: UserId
    role: WorkspaceRole
    created_at: Timestamp
