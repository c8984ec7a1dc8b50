"""Reads of users."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, or_, select

from auth.models import UserRow
from common.db.paging import Cursors, page
from common.db.session import TenantSession


async def list_users(
    session: TenantSession, cursors: Cursors, limit: int, cursor: str | None
) -> tuple[Sequence[UserRow], str | None]:
    """A page, newest first."""
    return await page(session, cursors, select(UserRow), UserRow.user_id, limit=limit, cursor=cursor)


async def lock_people(session: TenantSession, *user_ids: UUID) -> dict[UUID, UserRow]:
    """These users and all active owners, locked in one order and read afresh.

    Whoever changes roles holds the owners, so two changes cannot each count on the other's owner.
    """
    owners = and_(UserRow.role == "owner", UserRow.status == "active")
    statement = select(UserRow).where(or_(UserRow.user_id.in_(user_ids), owners))
    statement = statement.order_by(UserRow.user_id).with_for_update()
    rows = await session.scalars(statement.execution_options(populate_existing=True))
    return {row.user_id: row for row in rows}
