"""Ending sessions."""

from typing import Any, Literal
from uuid import UUID

from auth.account.queries import lock_user
from auth.models import SessionRow, UserRow
from auth.session import queries
from auth.token.rules import whole_millisecond
from common import clock
from common.bus import outbox
from common.contracts.auth import SessionEnded, SessionsRevoked
from common.db.session import TenantSession


async def end_session(session: TenantSession, row: SessionRow, reason: str) -> None:
    """End one session, its access tokens included; a second time changes nothing."""
    if row.ended_at is not None:
        return
    at = clock.now()
    row.ended_at, row.end_reason = at, reason
    await session.flush()
    await outbox.emit(session, SessionEnded(**facts_of(row), at=at))


def facts_of(row: SessionRow) -> dict[str, Any]:
    """What every event of the session says."""
    return {
        "tenant_id": row.tenant_id,
        "session_id": row.session_id,
        "version": row.version,
        "user_id": row.user_id,
    }


async def log_out(session: TenantSession, user_id: UUID, session_id: UUID) -> None:
    """End the session of the token at hand, also when its row is gone already."""
    row = await queries.find_session(session, user_id, session_id)
    if row is not None:
        await end_session(session, row, "logout")
    else:
        event = SessionEnded(
            tenant_id=session.tenant_id, session_id=session_id, version=0, user_id=user_id, at=clock.now()
        )
        await outbox.emit(session, event)


async def log_out_everywhere(session: TenantSession, user_id: UUID, session_id: UUID) -> None:
    """End all sessions of the user; nothing when the session of the token at hand has ended already."""
    user = await lock_user(session, user_id)
    row = await queries.find_session(session, user_id, session_id)
    if row is None or row.ended_at is None:
        await revoke_all(session, user, "logout_all")


async def revoke_all(
    session: TenantSession,
    user: UserRow,
    reason: Literal["logout_all", "password_changed", "refresh_reuse", "locked"],
) -> None:
    """End all sessions of the locked user; no token issued until now is worth anything after."""
    user_id = user.user_id
    await queries.end_all(session, user_id, clock.now(), reason)
    before = whole_millisecond(clock.now())
    user.tokens_valid_from = before
    await session.flush()
    await outbox.emit(
        session,
        SessionsRevoked(
            tenant_id=session.tenant_id, user_id=user_id, version=user.version, before=before, reason=reason
        ),
    )
