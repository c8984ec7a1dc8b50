"""Reads of workspaces and members."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text

from common.db.lookup import get_one
from common.db.paging import Cursors, page
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from workspaces.models import MemberRow, WorkspaceRow


async def get_workspace(session: TenantSession, workspace_id: UUID) -> WorkspaceRow:
    """The workspace.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(WorkspaceRow).where(WorkspaceRow.workspace_id == workspace_id)
    return await get_one(session, statement, missing_workspace(workspace_id))


async def list_workspaces(
    session: TenantSession, cursors: Cursors, assigned: set[UUID] | None, limit: int, cursor: str | None
) -> tuple[Sequence[WorkspaceRow], str | None]:
    """A page, newest first; only those `assigned`, unless that is None."""
    statement = select(WorkspaceRow)
    if assigned is not None:
        statement = statement.where(WorkspaceRow.workspace_id.in_(assigned))
    return await page(session, cursors, statement, WorkspaceRow.workspace_id, limit=limit, cursor=cursor)


async def lock_workspace(session: TenantSession, workspace_id: UUID) -> WorkspaceRow:
    """The workspace, locked until the transaction ends."""
    statement = select(WorkspaceRow).where(WorkspaceRow.workspace_id == workspace_id).with_for_update()
    return await get_one(session, statement, missing_workspace(workspace_id))


def missing_workspace(workspace_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("workspace", workspace_id, to_text(Kind.WORKSPACE, workspace_id))


async def list_members(session: TenantSession, workspace_id: UUID) -> Sequence[MemberRow]:
    """All present members, oldest first."""
    statement = select(MemberRow).where(MemberRow.workspace_id == workspace_id, MemberRow.role.is_not(None))
    return (await session.scalars(statement.order_by(MemberRow.created_at, MemberRow.user_id))).all()


async def lock_limit(session: TenantSession) -> int:
    """`max_workspaces` of the tenant; serialises the tenant's creations until the transaction ends."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('max_workspaces|' || :tenant, 0))"),
        {"tenant": str(session.tenant_id)},
    )
    limit = await session.scalar(
        text("SELECT (limits->>'max_workspaces')::int FROM tenancy.tenants WHERE tenant_id = :tenant"),
        {"tenant": session.tenant_id},
    )
    return int(limit or 0)


async def count_active(session: TenantSession) -> int:
    """Workspaces that count against the limit."""
    statement = select(func.count()).select_from(WorkspaceRow).where(WorkspaceRow.status == "active")
    return int(await session.scalar(statement) or 0)
