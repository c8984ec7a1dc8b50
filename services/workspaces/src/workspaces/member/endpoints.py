"""Routes `/api/v1/workspaces/{workspace_id}/members`."""

from common.ids import UserId, WorkspaceId
from common.schema import Page
from common.web.deps import Session
from common.web.routes import tenant_router
from common.web.workspace_access import await_young, require_workspace
from workspaces.member import queries, service
from workspaces.member.schemas import MemberAdd, MemberDetails, MemberUpdate
from workspaces.workspace.queries import list_members

router = tenant_router("/workspaces/{workspace_id}/members", "workspace members")


@router.get("", operation_id="listWorkspaceMembers")
async def list_workspace_members(workspace_id: WorkspaceId, session: Session) -> Page[MemberDetails]:
    """Everybody who works in the workspace."""
    await require_workspace(session, workspace_id)
    rows = await list_members(session, workspace_id)
    return Page(data=[MemberDetails.model_validate(row) for row in rows])


@router.post("", status_code=201, operation_id="addWorkspaceMember")
async def add_member(workspace_id: WorkspaceId, body: MemberAdd, session: Session) -> MemberDetails:
    """Let a user of the tenant work in the workspace."""
    await require_workspace(session, workspace_id, "admin")
    if not await await_young(session, body.user_id, lambda: queries.find_active_user(session, body.user_id)):
        raise queries.missing_user(body.user_id)
    row = await service.add_member(session, workspace_id, body.user_id, body.role)
    await session.refresh(row)
    return MemberDetails.model_validate(row)


@router.patch("/{user_id}", operation_id="changeWorkspaceMemberRole")
async def change_role(
    workspace_id: WorkspaceId, user_id: UserId, body: MemberUpdate, session: Session
) -> MemberDetails:
    """Give a member another role."""
    await require_workspace(session, workspace_id, "admin")
    row = await queries.lock_member(session, workspace_id, user_id)
    await service.change_role(session, row, body.role)
    return MemberDetails.model_validate(row)


@router.delete("/{user_id}", status_code=204, operation_id="removeWorkspaceMember")
async def remove_member(workspace_id: WorkspaceId, user_id: UserId, session: Session) -> None:
    """End a membership."""
    await require_workspace(session, workspace_id, "admin")
    await service.remove_member(session, await queries.lock_member(session, workspace_id, user_id))
