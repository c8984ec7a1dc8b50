"""Inviting people, and what becomes of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from auth.account.queries import get_user
from auth.invitation import queries
from auth.invitation.errors import AlreadyAccepted, AlreadyInvited, AlreadyUser
from auth.invitation.rules import LIFE, LINK_PURPOSE
from auth.invitation.schemas import InvitationCreate
from auth.mail.service import queue_invitation
from auth.models import InvitationRow, UserRow
from auth.opaque import OpaqueToken, derived_token
from auth.password.errors import TokenUsedOrExpired
from auth.user.queries import lock_people
from auth.user.rules import may_manage
from common import clock
from common.bus import outbox
from common.contracts.auth import (
    FirstMembership,
    InvitationAccepted,
    InvitationRevoked,
    UserInvited,
    UserRegistered,
)
from common.db.errors import violated_constraint
from common.db.session import TenantSession
from common.errors import Forbidden, LimitExceeded, TenantSuspended
from common.ids import new_id


async def invite(
    session: TenantSession, actor_id: UUID, body: InvitationCreate, link_secret: str
) -> InvitationRow:
    """Invite an address and queue its mail.

    Raises:
        Forbidden: the actor may not give that role (any more).
        LimitExceeded: users and open invitations fill the plan's `max_users`.
        AlreadyUser: the address has an account here.
        AlreadyInvited: it has an open invitation.
    """
    actor = (await lock_people(session, actor_id)).get(actor_id)
    if actor is None or actor.status != "active" or not may_manage(actor.role, body.role):
        raise Forbidden
    maximum = await queries.lock_limit(session)
    await queries.expire_old(session)
    if await queries.has_account(session, body.email):
        raise AlreadyUser
    if await queries.has_open_invitation(session, body.email):
        raise AlreadyInvited
    current = await queries.count_seats(session)
    if current >= maximum:
        raise LimitExceeded("max_users", current, maximum)
    invitation_id = new_id()
    token = derived_token(link_secret, LINK_PURPOSE, session.tenant_id, invitation_id)
    row = InvitationRow(
        invitation_id=invitation_id,
        email=body.email,
        role=body.role,
        memberships=[offer.model_dump(mode="json") for offer in body.workspaces],
        invited_by=actor_id,
        secret_hash=token.secret_hash,
        expires_at=clock.now() + LIFE,
    )
    session.add(row)
    await session.flush()
    await _announce(session, row)
    return row


async def _announce(session: TenantSession, row: InvitationRow) -> None:
    inviter = await get_user(session, row.invited_by)
    company, _ = await queries.get_tenant(session)
    await queue_invitation(session, row.invitation_id, row.email, {"company": company, "by": inviter.name})
    await outbox.emit(
        session,
        UserInvited(
            tenant_id=session.tenant_id,
            invitation_id=row.invitation_id,
            version=row.version,
            email=row.email,
            role=row.role,  # type: ignore[arg-type]  # the table's check allows no other text
            memberships=_offers(row),
        ),
    )


async def revoke(session: TenantSession, row: InvitationRow) -> None:
    """Close an open invitation; a second time changes nothing.

    Raises:
        AlreadyAccepted: it is a user by now.
    """
    if row.status == "accepted":
        raise AlreadyAccepted
    if row.status == "pending":
        await _revoke(session, row)


async def revoke_beyond(session: TenantSession, user: UserRow) -> None:
    """Close the open invitations of a user who could not send them now."""
    for row in await queries.lock_open_invitations_by(session, user.user_id):
        if user.status != "active" or not may_manage(user.role, row.role):
            await _revoke(session, row)


async def _revoke(session: TenantSession, row: InvitationRow) -> None:
    row.status = "revoked"
    await session.flush()
    event = InvitationRevoked(
        tenant_id=session.tenant_id, invitation_id=row.invitation_id, version=row.version
    )
    await outbox.emit(session, event)


async def check(session: TenantSession, token: OpaqueToken, *, lock: bool = False) -> InvitationRow:
    """The open invitation that the link belongs to.

    Raises:
        TokenUsedOrExpired: it opens none (any more).
        TenantSuspended: nothing can be changed there.
    """
    row = await queries.find_invitation(session, token.row_id, lock=lock)
    good = row is not None and token.opens(row.secret_hash)
    if row is None or not good or row.status != "pending" or row.expires_at <= clock.now():
        raise TokenUsedOrExpired
    _, status = await queries.get_tenant(session)
    if status != "active":
        raise TenantSuspended
    return row


async def accept(
    session: TenantSession, token: OpaqueToken, user_id: UUID, name: str, password_hash: str
) -> UserRow:
    """Use the link up for an account.

    Raises:
        TokenUsedOrExpired: somebody was faster.
        AlreadyUser: the address has come by an account otherwise.
    """
    row = await check(session, token, lock=True)
    row.status = "accepted"
    user = await _add_user(session, row, user_id, name, password_hash, clock.now())
    await outbox.emit(
        session,
        UserRegistered(
            tenant_id=session.tenant_id,
            user_id=user_id,
            version=user.version,
            email=user.email,
            name=user.name,
            role=user.role,  # type: ignore[arg-type]
            memberships=_offers(row),
        ),
    )
    event = InvitationAccepted(
        tenant_id=session.tenant_id, invitation_id=row.invitation_id, version=row.version, user_id=user_id
    )
    await outbox.emit(session, event)
    return user


async def _add_user(
    session: TenantSession, row: InvitationRow, user_id: UUID, name: str, password_hash: str, now: datetime
) -> UserRow:
    user = UserRow(
        user_id=user_id,
        email=row.email,
        name=name,
        role=row.role,
        password_hash=password_hash,
        password_set_at=now,
        email_verified_at=now,
    )
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        if violated_constraint(error) == "users_email_key":
            raise AlreadyUser from error
        raise
    await session.refresh(user)
    return user


def _offers(row: InvitationRow) -> tuple[FirstMembership, ...]:
    return tuple(FirstMembership.model_validate(offer) for offer in row.memberships)
