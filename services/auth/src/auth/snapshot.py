"""The users of a tenant, and its ended sessions, as events, for `events snapshot`."""

from collections.abc import AsyncIterator
from typing import Literal, cast

from sqlalchemy import select

from auth.models import SessionRow, UserRow
from common.contracts.auth import SessionDescribed, TenantRoleName, UserDescribed
from common.contracts.envelope import Event
from common.db.session import TenantSession

_WITH_THE_USER = ("logout_all", "password_changed", "locked", "deactivated")
"""Reasons for which all sessions of a user end at once: told by the user's own `valid_from`."""


async def describe(session: TenantSession) -> AsyncIterator[Event]:
    """Users first, then each session that was ended on its own."""
    for row in await session.scalars(select(UserRow).order_by(UserRow.user_id).with_for_update(read=True)):
        yield UserDescribed(
            tenant_id=session.tenant_id,
            user_id=row.user_id,
            version=row.version,
            email=row.email,
            name=row.name,
            role=cast(TenantRoleName, row.role),
            status=cast(Literal["active", "deactivated"], row.status),
            valid_from=row.tokens_valid_from,
        )
    ended = select(SessionRow).where(
        SessionRow.ended_at.is_not(None), SessionRow.end_reason.not_in(_WITH_THE_USER)
    )
    for row in await session.scalars(ended.order_by(SessionRow.session_id)):
        if row.ended_at is not None:
            yield SessionDescribed(
                tenant_id=session.tenant_id,
                session_id=row.session_id,
                version=row.version,
                user_id=row.user_id,
                ended_at=row.ended_at,
            )
