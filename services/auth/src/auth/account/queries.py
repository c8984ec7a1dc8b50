"""Reads of users."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from auth.models import UserRow
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text

_WORKSPACES = text("""
SELECT r.workspace_id, r.role FROM tenancy.workspace_roles AS r
JOIN tenancy.workspaces AS w ON w.tenant_id = r.tenant_id AND w.workspace_id = r.workspace_id
WHERE r.tenant_id = :tenant AND r.user_id = :user AND r.role IS NOT NULL AND w.status = 'active'
ORDER BY r.workspace_id
""")


async def find_user(session: TenantSession, user_id: UUID, *, lock: bool = False) -> UserRow | None:
    """The user; with `lock` locked until the transaction ends and read afresh."""
    statement = select(UserRow).where(UserRow.user_id == user_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return await session.scalar(statement)


async def get_user(session: TenantSession, user_id: UUID) -> UserRow:
    """The user.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    row = await find_user(session, user_id)
    if row is None:
        raise _missing(user_id)
    return row


async def lock_user(session: TenantSession, user_id: UUID) -> UserRow:
    """The user, locked until the transaction ends and read afresh.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    row = await find_user(session, user_id, lock=True)
    if row is None:
        raise _missing(user_id)
    return row


def _missing(user_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("user", user_id, to_text(Kind.USER, user_id))


async def list_workspaces(session: TenantSession, user_id: UUID) -> Sequence[Any]:
    """The user's own memberships of active workspaces, as projected: workspace_id, role."""
    values = {"tenant": session.tenant_id, "user": user_id}
    return (await session.execute(_WORKSPACES, values)).all()
