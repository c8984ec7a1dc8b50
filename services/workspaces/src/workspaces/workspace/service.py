"""What can be done with a workspace."""

from uuid import UUID

from common.bus import outbox
from common.contracts.workspaces import (
    WorkspaceArchived,
    WorkspaceCreated,
    WorkspaceUpdated,
)
from common.db.lookup import change_fields, flush_or_refuse
from common.db.session import TenantSession
from common.errors import LimitExceeded
from common.ids import new_id
from common.web.workspace_access import WorkspaceArchived as Archived
from workspaces.models import MemberRow, WorkspaceRow
from workspaces.workspace import queries
from workspaces.workspace.errors import SlugTaken
from workspaces.workspace.rules import slug_from
from workspaces.workspace.schemas import WorkspaceCreate, WorkspaceUpdate

_REFUSALS = {"workspaces_slug_key": SlugTaken}


async def create_workspace(session: TenantSession, creator_id: UUID, body: WorkspaceCreate) -> WorkspaceRow:
    """Create a workspace with its creator as admin.

    Raises:
        LimitExceeded: the plan's `max_workspaces` are in use.
        SlugTaken: another workspace of the tenant has the slug.
    """
    maximum = await queries.lock_limit(session)
    current = await queries.count_active(session)
    if current >= maximum:
        raise LimitExceeded("max_workspaces", current, maximum)
    workspace_id = new_id()
    slug = body.slug or slug_from(body.name, workspace_id.hex[-8:])
    row = WorkspaceRow(workspace_id=workspace_id, name=body.name, slug=slug, description=body.description)
    return await add_workspace(session, row, creator_id)


async def add_workspace(session: TenantSession, row: WorkspaceRow, admin_id: UUID) -> WorkspaceRow:
    """Store a workspace and its first admin, and tell."""
    session.add(row)
    await flush_or_refuse(session, _REFUSALS)
    session.add(MemberRow(workspace_id=row.workspace_id, user_id=admin_id, role="admin"))
    await outbox.emit(
        session,
        WorkspaceCreated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            version=row.version,
            name=row.name,
            slug=row.slug,
            admin_id=admin_id,
        ),
    )
    return row


async def update_workspace(session: TenantSession, row: WorkspaceRow, body: WorkspaceUpdate) -> WorkspaceRow:
    """Change name, slug or description; what is so already changes nothing.

    Raises:
        SlugTaken: another workspace of the tenant has the slug.
        WorkspaceArchived: it was archived meanwhile.
    """
    if row.status == "archived":
        raise Archived
    if not change_fields(row, body.model_dump(exclude_unset=True)):
        return row
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        WorkspaceUpdated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            version=row.version,
            name=row.name,
            slug=row.slug,
        ),
    )
    return row


async def archive_workspace(session: TenantSession, row: WorkspaceRow) -> None:
    """Archive; a second time changes nothing."""
    if row.status == "archived":
        return
    row.status = "archived"
    await session.flush()
    await outbox.emit(
        session,
        WorkspaceArchived(tenant_id=session.tenant_id, workspace_id=row.workspace_id, version=row.version),
    )
