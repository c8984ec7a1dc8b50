"""What a caller may do in a workspace, from the projected roles."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy import text

from common import clock
from common.context import UserContext, WorkspaceRole
from common.db.session import TenantSession
from common.errors import Conflict, Forbidden, ResourceNotFound
from common.ids import Kind, age_seconds, to_text

YOUNG_SECONDS = 5.0
WAIT_SECONDS = 1.0
"""An unknown id younger than `YOUNG_SECONDS` is waited for this long: its event may be on its way."""
_POLL_SECONDS = 0.03

Found = TypeVar("Found")

_ROLE = text("""
SELECT w.status, r.role FROM tenancy.workspaces AS w
LEFT JOIN tenancy.workspace_roles AS r
    ON r.tenant_id = w.tenant_id AND r.workspace_id = w.workspace_id AND r.user_id = :user
WHERE w.tenant_id = :tenant AND w.workspace_id = :workspace
""")
_ASSIGNED = text("""
SELECT workspace_id FROM tenancy.workspace_roles
WHERE tenant_id = :tenant AND user_id = :user AND role IS NOT NULL
""")


class WorkspaceArchived(Conflict):
    code = "workspace_archived"

    def __init__(self) -> None:
        super().__init__("The workspace is archived.")


async def require_workspace(
    session: TenantSession, workspace_id: UUID, *roles: WorkspaceRole, hidden: ResourceNotFound | None = None
) -> WorkspaceRole:
    """The caller's role in the workspace, which must be one of `roles` (any, when none are named).

    Call it before anything is read or written: while it waits for a workspace just made, it lets the
    transaction (and with it all loaded rows) go.

    Raises:
        ResourceNotFound: unknown, foreign or not assigned; `hidden` instead, when the request named
            something inside the workspace rather than the workspace itself.
        Forbidden: assigned, but with another role.
        WorkspaceArchived: a change in an archived workspace.
    """
    missing = hidden or ResourceNotFound("workspace", workspace_id, to_text(Kind.WORKSPACE, workspace_id))
    found = await await_young(session, workspace_id, lambda: _look(session, workspace_id))
    status, role = found or ("", None)
    if role is None:
        raise missing
    if roles and role not in roles:
        raise Forbidden("Your role in the workspace does not allow this.")
    if roles and status == "archived" and "viewer" not in roles:
        raise WorkspaceArchived
    return role


async def assigned_workspaces(session: TenantSession) -> set[UUID] | None:
    """The workspaces a member may see, or None for owners and admins, who see all."""
    if session.standing.role != "member":
        return None
    rows = await session.scalars(_ASSIGNED, {"tenant": session.tenant_id, "user": _user(session)})
    return set(rows)


async def await_young(
    session: TenantSession, young_id: UUID, look: Callable[[], Awaitable[Found | None]]
) -> Found | None:
    """What `look` finds; while `young_id` is younger than `YOUNG_SECONDS`, it may take `WAIT_SECONDS`.

    The event that tells of the id may be on its way. Lets the transaction go while it waits.
    """
    found = await look()
    if found is not None or age_seconds(young_id, clock.now()) > YOUNG_SECONDS:
        return found
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while found is None and asyncio.get_running_loop().time() < deadline:
        await session.rollback()
        await asyncio.sleep(_POLL_SECONDS)
        found = await look()
    return found


async def _look(session: TenantSession, workspace_id: UUID) -> tuple[str, WorkspaceRole | None] | None:
    values = {"tenant": session.tenant_id, "workspace": workspace_id, "user": _user(session)}
    row = (await session.execute(_ROLE, values)).one_or_none()
    if row is None:
        return None
    return row.status, row.role if session.standing.role == "member" else "admin"


def _user(session: TenantSession) -> UUID:
    context = session.context
    if not isinstance(context, UserContext):
        raise LookupError("no user acts in this session")
    return context.user_id
