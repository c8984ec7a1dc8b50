"""What a caller sees in lists that may span workspaces."""

from collections.abc import Collection
from uuid import UUID

from common.db.session import AnySession, TenantSession
from common.web.workspace_access import assigned_workspaces, require_workspace, unless_all


async def readable_workspaces(session: TenantSession, workspace_id: UUID | None) -> Collection[UUID] | None:
    """The workspaces a list is narrowed to: the one named, else all that the caller may see (None: all).

    Raises:
        ResourceNotFound: the one named is unknown, foreign or not assigned.
    """
    if workspace_id is None:
        return await assigned_workspaces(session)
    await require_workspace(session, workspace_id)
    return {workspace_id}


async def readable_scope(session: AnySession, workspace_id: UUID | None) -> dict[str, UUID | None]:
    """As `readable_workspaces`, as the conditions `workspace_id` and `member_id` of a `Listing`.

    Raises:
        ResourceNotFound: the one named is unknown, foreign or not assigned.
    """
    if workspace_id is None:
        return {"member_id": unless_all(session)}
    await require_workspace(session, workspace_id)
    return {"workspace_id": workspace_id}
