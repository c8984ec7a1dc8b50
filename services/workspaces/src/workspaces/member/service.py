"""What can be done with memberships."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from common.bus import outbox
from common.context import WorkspaceRole
from common.contracts.auth import UserDeactivated, UserRegistered
from common.contracts.workspaces import (
    WorkspaceMemberAdded,
    WorkspaceMemberRemoved,
    WorkspaceMemberRoleChanged,
)
from common.db.errors import violated_constraint
from common.db.session import TenantSession
from workspaces.member import queries
from workspaces.member.errors import AlreadyMember
from workspaces.models import MemberRow


async def add_member(
    session: TenantSession, workspace_id: UUID, user_id: UUID, role: WorkspaceRole
) -> MemberRow:
    """Let a user of the tenant work in the workspace.

    Raises:
        AlreadyMember: the user is a member already.
    """
    row = await queries.lock_membership(session, workspace_id, user_id)
    if row is None:
        row = MemberRow(workspace_id=workspace_id, user_id=user_id, role=role)
        session.add(row)
    elif row.role is None:
        row.role = role
    else:
        raise AlreadyMember
    try:
        await session.flush()
    except IntegrityError as error:
        if violated_constraint(error) == "members_pkey":
            raise AlreadyMember from error
        raise
    await outbox.emit(
        session,
        WorkspaceMemberAdded(
            tenant_id=session.tenant_id,
            workspace_id=workspace_id,
            user_id=user_id,
            role=role,
            version=row.version,
        ),
    )
    return row


async def change_role(session: TenantSession, row: MemberRow, role: WorkspaceRole) -> MemberRow:
    """Give a member another role; the same role changes nothing."""
    previous = row.role
    if previous is None or previous == role:
        return row
    row.role = role
    await session.flush()
    await outbox.emit(
        session,
        WorkspaceMemberRoleChanged(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            user_id=row.user_id,
            role=role,
            previous_role=previous,  # type: ignore[arg-type]  # the table's check allows no other text
            version=row.version,
        ),
    )
    return row


async def remove_member(session: TenantSession, row: MemberRow) -> None:
    """End a membership; its row stays so that its version goes on."""
    row.role = None
    await session.flush()
    await outbox.emit(
        session,
        WorkspaceMemberRemoved(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            user_id=row.user_id,
            version=row.version,
        ),
    )


async def begin_memberships_of(session: TenantSession, event: UserRegistered) -> None:
    """New users work from the start where their invitation says, as far as it still exists.

    An owner's first membership comes with the default workspace itself.
    """
    for offer in event.memberships:
        known = await queries.lock_membership(session, offer.workspace_id, event.user_id)
        if known is None and await queries.lock_active_workspace(session, offer.workspace_id) is not None:
            await add_member(session, offer.workspace_id, event.user_id, offer.role)


async def end_memberships_of(session: TenantSession, event: UserDeactivated) -> None:
    """Deactivated users lose their memberships."""
    for row in await queries.lock_memberships_of(session, event.user_id):
        await remove_member(session, row)
