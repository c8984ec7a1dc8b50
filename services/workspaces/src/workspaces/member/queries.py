"""Reads of members."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text

from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from workspaces.models import MemberRow, WorkspaceRow

_ACTIVE_USER = text(
    "SELECT 1 FROM tenancy.members WHERE tenant_id = :tenant AND member_id = :user AND status = 'active'"
)


async def lock_membership(session: TenantSession, workspace_id: UUID, user_id: UUID) -> MemberRow | None:
    """The membership, ended ones (role None) too, locked; or None."""
    return await session.scalar(
        select(MemberRow)
        .where(MemberRow.workspace_id == workspace_id, MemberRow.user_id == user_id)
        .with_for_update()
    )


async def lock_member(session: TenantSession, workspace_id: UUID, user_id: UUID) -> MemberRow:
    """The present membership, locked.

    Raises:
        ResourceNotFound: the user is no member of the workspace.
    """
    row = await lock_membership(session, workspace_id, user_id)
    if row is None or row.role is None:
        raise missing_user(user_id)
    return row


async def lock_memberships_of(session: TenantSession, user_id: UUID) -> Sequence[MemberRow]:
    """All present memberships of a user, locked."""
    statement = select(MemberRow).where(MemberRow.user_id == user_id, MemberRow.role.is_not(None))
    return (await session.scalars(statement.order_by(MemberRow.workspace_id).with_for_update())).all()


async def lock_active_workspace(session: TenantSession, workspace_id: UUID) -> WorkspaceRow | None:
    """The workspace, locked against archival, or None when it has ended or never was."""
    statement = select(WorkspaceRow).where(
        WorkspaceRow.workspace_id == workspace_id, WorkspaceRow.status == "active"
    )
    return await session.scalar(statement.with_for_update())


async def find_active_user(session: TenantSession, user_id: UUID) -> int | None:
    """Something, when the tenant has this user (from the projection); or None."""
    return await session.scalar(_ACTIVE_USER, {"tenant": session.tenant_id, "user": user_id})


def missing_user(user_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("user", user_id, to_text(Kind.USER, user_id))
