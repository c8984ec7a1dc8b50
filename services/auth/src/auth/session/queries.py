"""Reads of sessions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select, update

from auth.models import SessionRow
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text


def open_sessions(user_id: UUID, now: datetime) -> Select[SessionRow]:
    """The user's sessions that can still be used."""
    return select(SessionRow).where(
        SessionRow.user_id == user_id, SessionRow.ended_at.is_(None), SessionRow.expires_at > now
    )


async def find_session(session: TenantSession, user_id: UUID, session_id: UUID) -> SessionRow | None:
    """The user's session, locked, or None."""
    statement = select(SessionRow).where(SessionRow.session_id == session_id, SessionRow.user_id == user_id)
    return await session.scalar(statement.with_for_update())


async def lock_session(session: TenantSession, user_id: UUID, session_id: UUID) -> SessionRow:
    """The user's session, locked until the transaction ends.

    Raises:
        ResourceNotFound: not this user's.
    """
    row = await find_session(session, user_id, session_id)
    if row is None:
        raise ResourceNotFound("session", session_id, to_text(Kind.SESSION, session_id))
    return row


async def end_all(session: TenantSession, user_id: UUID, now: datetime, reason: str) -> None:
    """End every open session of the user."""
    await session.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user_id, SessionRow.ended_at.is_(None))
        .values(ended_at=now, end_reason=reason, version=SessionRow.version + 1)
    )
