"""Reads of invitations."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text, update

from auth.models import InvitationRow, UserRow
from common import clock
from common.db.paging import Cursors, page
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('max_users|' || :tenant, 0))")
_LIMIT = text("SELECT (limits->>'max_users')::int FROM tenancy.tenants WHERE tenant_id = :tenant")
_TENANT = text("SELECT name, status FROM tenancy.tenants WHERE tenant_id = :tenant")


async def lock_limit(session: TenantSession) -> int:
    """`max_users` of the tenant; serialises the tenant's invitations until the transaction ends."""
    await session.execute(_LOCK, {"tenant": str(session.tenant_id)})
    return int(await session.scalar(_LIMIT, {"tenant": session.tenant_id}) or 0)


async def expire_old(session: TenantSession) -> None:
    """Close what nobody accepted in time."""
    await session.execute(
        update(InvitationRow)
        .where(InvitationRow.status == "pending", InvitationRow.expires_at <= clock.now())
        .values(status="expired", version=InvitationRow.version + 1)
    )


async def count_seats(session: TenantSession) -> int:
    """Active users and open invitations, as one statement sees them: an acceptance moves one to the other."""
    users = select(func.count()).select_from(UserRow).where(UserRow.status == "active")
    pending = select(func.count()).select_from(InvitationRow).where(InvitationRow.status == "pending")
    return int(await session.scalar(select(users.scalar_subquery() + pending.scalar_subquery())) or 0)


async def has_account(session: TenantSession, email: str) -> bool:
    """An active one; who was deactivated may be invited again."""
    statement = select(UserRow.user_id).where(UserRow.email == email, UserRow.status == "active")
    return await session.scalar(statement) is not None


async def has_open_invitation(session: TenantSession, email: str) -> bool:
    statement = select(InvitationRow.invitation_id)
    statement = statement.where(InvitationRow.email == email, InvitationRow.status == "pending")
    return await session.scalar(statement) is not None


async def list_invitations(
    session: TenantSession, cursors: Cursors, limit: int, cursor: str | None
) -> tuple[Sequence[InvitationRow], str | None]:
    """A page, newest first."""
    key = InvitationRow.invitation_id
    return await page(session, cursors, select(InvitationRow), key, limit=limit, cursor=cursor)


async def find_invitation(
    session: TenantSession, invitation_id: UUID, *, lock: bool = False
) -> InvitationRow | None:
    statement = select(InvitationRow).where(InvitationRow.invitation_id == invitation_id)
    return await session.scalar(statement.with_for_update() if lock else statement)


async def get_invitation(session: TenantSession, invitation_id: UUID, *, lock: bool = False) -> InvitationRow:
    """The invitation.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    row = await find_invitation(session, invitation_id, lock=lock)
    if row is None:
        raise ResourceNotFound("invitation", invitation_id, to_text(Kind.INVITATION, invitation_id))
    return row


async def lock_open_invitations_by(session: TenantSession, user_id: UUID) -> Sequence[InvitationRow]:
    """What a user has invited and nobody has answered yet, locked."""
    statement = select(InvitationRow).where(
        InvitationRow.invited_by == user_id, InvitationRow.status == "pending"
    )
    return (await session.scalars(statement.order_by(InvitationRow.invitation_id).with_for_update())).all()


async def get_tenant(session: TenantSession) -> tuple[str, str]:
    """Name and status of the tenant."""
    row = (await session.execute(_TENANT, {"tenant": session.tenant_id})).one_or_none()
    return (row.name, row.status) if row is not None else ("", "deleted")
