"""Reads for refreshing."""

from uuid import UUID

from sqlalchemy import select, text

from auth.models import RefreshTokenRow, SessionRow
from common.db.session import TenantSession

_CLOSED = text("SELECT 1 FROM tenancy.tenants WHERE tenant_id = :tenant AND status = 'deleted'")


async def lock_token(session: TenantSession, token_id: UUID) -> RefreshTokenRow | None:
    """The token, locked until the transaction ends, or None."""
    statement = select(RefreshTokenRow).where(RefreshTokenRow.token_id == token_id)
    return await session.scalar(statement.with_for_update())


async def lock_session_of(session: TenantSession, token: RefreshTokenRow) -> SessionRow:
    """The token's session, locked until the transaction ends."""
    statement = select(SessionRow).where(SessionRow.session_id == token.session_id)
    return (await session.scalars(statement.with_for_update())).one()


async def is_spent(session: TenantSession, token_id: UUID | None) -> bool:
    statement = select(RefreshTokenRow.spent_at).where(RefreshTokenRow.token_id == token_id)
    return await session.scalar(statement) is not None


async def is_tenant_deleted(session: TenantSession) -> bool:
    return await session.scalar(_CLOSED, {"tenant": session.tenant_id}) is not None
