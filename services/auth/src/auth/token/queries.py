"""Reads for issuing tokens."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from auth.token.rules import MAX_WORKSPACES
from common.db.session import TenantSession

_WORKSPACES = text("""
SELECT r.workspace_id FROM tenancy.workspace_roles AS r
JOIN tenancy.workspaces AS w ON w.tenant_id = r.tenant_id AND w.workspace_id = r.workspace_id
WHERE r.tenant_id = :tenant AND r.user_id = :user AND r.role IS NOT NULL AND w.status = 'active'
ORDER BY r.workspace_id DESC LIMIT :most
""")


async def list_newest_workspaces(session: TenantSession, user_id: UUID) -> Sequence[UUID]:
    """The user's newest workspaces, newest first."""
    values = {"tenant": session.tenant_id, "user": user_id, "most": MAX_WORKSPACES}
    return (await session.scalars(_WORKSPACES, values)).all()
