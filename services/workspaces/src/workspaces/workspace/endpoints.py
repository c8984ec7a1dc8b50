"""Routes `/api/v1/workspaces`."""

from fastapi import Response

from common.ids import Kind, WorkspaceId, to_text
from common.schema import Page
from common.web.deps import Caller, Cursor, Limit, Session, Shared, owner_or_admin
from common.web.etags import IfMatch, check_version, set_etag
from common.web.routes import tenant_router
from common.web.workspace_access import assigned_workspaces, require_workspace
from workspaces.models import WorkspaceRow
from workspaces.workspace import queries, service
from workspaces.workspace.schemas import (
    Member,
    Workspace,
    WorkspaceCreate,
    WorkspaceDetails,
    WorkspaceUpdate,
)

router = tenant_router("/workspaces", "workspaces")


@router.post("", status_code=201, operation_id="createWorkspace", dependencies=[owner_or_admin])
async def create_workspace(
    body: WorkspaceCreate, session: Session, caller: Caller, response: Response
) -> WorkspaceDetails:
    """Create a workspace; its creator becomes its admin."""
    row = await service.create_workspace(session, caller.user_id, body)
    set_etag(response, row.version)
    response.headers["Location"] = f"/api/v1/workspaces/{to_text(Kind.WORKSPACE, row.workspace_id)}"
    return await _details(session, row)


@router.get("", operation_id="listWorkspaces")
async def list_workspaces(
    session: Session, shared: Shared, limit: Limit = 20, cursor: Cursor = None
) -> Page[Workspace]:
    """The workspaces the caller may see, newest first."""
    assigned = await assigned_workspaces(session)
    rows, next_cursor = await queries.list_workspaces(session, shared.cursors, assigned, limit, cursor)
    return Page(data=[Workspace.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{workspace_id}", operation_id="getWorkspace")
async def get_workspace(workspace_id: WorkspaceId, session: Session, response: Response) -> WorkspaceDetails:
    """One workspace with its members."""
    await require_workspace(session, workspace_id)
    row = await queries.get_workspace(session, workspace_id)
    set_etag(response, row.version)
    return await _details(session, row)


@router.patch("/{workspace_id}", operation_id="updateWorkspace")
async def update_workspace(
    workspace_id: WorkspaceId,
    body: WorkspaceUpdate,
    session: Session,
    response: Response,
    if_match: IfMatch = None,
) -> WorkspaceDetails:
    """Change name, slug or description."""
    await require_workspace(session, workspace_id, "admin")
    row = await queries.lock_workspace(session, workspace_id)
    check_version(if_match, row.version)
    await service.update_workspace(session, row, body)
    set_etag(response, row.version)
    return await _details(session, row)


@router.delete("/{workspace_id}", status_code=204, operation_id="archiveWorkspace")
async def archive_workspace(workspace_id: WorkspaceId, session: Session, if_match: IfMatch = None) -> None:
    """Archive the workspace."""
    await require_workspace(session, workspace_id, "admin")
    row = await queries.lock_workspace(session, workspace_id)
    check_version(if_match, row.version)
    await service.archive_workspace(session, row)


async def _details(session: Session, row: WorkspaceRow) -> WorkspaceDetails:
    await session.refresh(row)
    members = await queries.list_members(session, row.workspace_id)
    return WorkspaceDetails(
        **Workspace.model_validate(row).model_dump(),
        members=[Member.model_validate(member) for member in members],
    )
