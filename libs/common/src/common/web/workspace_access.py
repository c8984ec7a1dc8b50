"""What a caller may do in a workspace, from the projected roles."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Text, Uuid, bindparam, column, select, table, text
from sqlalchemy.orm import InstrumentedAttribute

from common import clock
from common.context import UserContext, WorkspaceRole
from common.db.session import AnySession, TenantSession
from common.db.statements import TENANT, Statement
from common.errors import Conflict, Forbidden, ResourceNotFound
from common.ids import Kind, age_seconds, to_text

YOUNG_SECONDS = 5.0
WAIT_SECONDS = 1.0
"""An unknown id younger than `YOUNG_SECONDS` is waited for this long: its event may be on its way."""
_POLL_SECONDS = 0.03

Found = TypeVar("Found")

_ROLE = Statement(
    """
SELECT w.status, r.role FROM tenancy.workspaces AS w
LEFT JOIN tenancy.workspace_roles AS r
    ON r.tenant_id = w.tenant_id AND r.workspace_id = w.workspace_id AND r.user_id = $3
WHERE w.tenant_id = $1 AND w.workspace_id = $2
""",
    ("tenant_id", "workspace_id", "user_id"),
    reads=True,
)
_ASSIGNED = text("""
SELECT workspace_id FROM tenancy.workspace_roles
WHERE tenant_id = :tenant AND user_id = :user AND role IS NOT NULL
""")
_roles = table(
    "workspace_roles",
    column("tenant_id", Uuid()),
    column("workspace_id", Uuid()),
    column("user_id", Uuid()),
    column("role", Text()),
    schema="tenancy",
)


def is_assigned(workspace_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """A condition of compiled statements: the row's workspace is among those that `member_id` may see."""
    seen = select(_roles.c.workspace_id).where(
        _roles.c.tenant_id == TENANT,
        _roles.c.user_id == bindparam("member_id", type_=Uuid()),
        _roles.c.role.is_not(None),
    )
    return workspace_id.in_(seen)


class WorkspaceArchived(Conflict):
    code = "workspace_archived"

    def __init__(self) -> None:
        super().__init__("The workspace is archived.")


async def require_workspace(
    session: AnySession, workspace_id: UUID, *roles: WorkspaceRole, hidden: ResourceNotFound | None = None
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
    if isinstance(session, TenantSession):
        _judged(session)[str(workspace_id)] = list(roles)
    return role


def roles_judged(session: TenantSession) -> Mapping[str, Sequence[str]]:
    """Which roles let the caller pass, by workspace; none named: any."""
    return dict(_judged(session))


async def would_pass(session: TenantSession, judged: Mapping[str, Sequence[str]]) -> bool:
    """Whether the caller has such roles today, in all the workspaces."""
    for workspace_id, roles in judged.items():
        _, role = await _look(session, UUID(workspace_id)) or ("", None)
        if role is None or (roles and role not in roles):
            return False
    return True


def _judged(session: TenantSession) -> dict[str, Sequence[str]]:
    return session.info.setdefault("roles judged", {})


def unless_all(session: AnySession) -> UUID | None:
    """The caller as `member_id` of `is_assigned`, or None for owners and admins, who see all workspaces."""
    return _user(session) if session.standing.role == "member" else None


async def assigned_workspaces(session: TenantSession) -> set[UUID] | None:
    """The workspaces a member may see, or None for owners and admins, who see all."""
    if session.standing.role != "member":
        return None
    rows = await session.scalars(_ASSIGNED, {"tenant": session.tenant_id, "user": _user(session)})
    return set(rows)


async def await_young(
    session: AnySession, young_id: UUID, look: Callable[[], Awaitable[Found | None]]
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


async def _look(session: AnySession, workspace_id: UUID) -> tuple[str, WorkspaceRole | None] | None:
    found = await session.fetch(_ROLE, workspace_id=workspace_id, user_id=_user(session))
    if not found:
        return None
    return found[0]["status"], found[0]["role"] if session.standing.role == "member" else "admin"


def _user(session: AnySession) -> UUID:
    context = session.context
    if not isinstance(context, UserContext):
        raise LookupError("no user acts in this session")
    return context.user_id
