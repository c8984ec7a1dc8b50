"""What owners and admins do with users."""

from uuid import UUID

from auth.account.queries import get_user, lock_user
from auth.invitation.service import revoke_beyond
from auth.models import UserRow
from auth.password.queries import void_tokens
from auth.session.queries import end_all
from auth.token.rules import whole_millisecond
from auth.user import queries
from auth.user.errors import LastOwner, UserClosed
from auth.user.rules import may_manage
from common import clock
from common.bus import outbox
from common.context import TenantRole
from common.contracts.auth import UserDeactivated, UserRenamed, UserRoleChanged
from common.db.session import TenantSession
from common.errors import Forbidden


async def rename(session: TenantSession, actor_id: UUID, user_id: UUID, name: str) -> UserRow:
    """Give a user another name; the same one changes nothing. Everybody may rename themselves.

    Raises:
        Forbidden: the user's role is more than the actor has.
    """
    if actor_id == user_id:
        user = await lock_user(session, user_id)
    else:
        user, _ = await _lock_managed(session, actor_id, user_id)
    if user.name == name:
        return user
    user.name = name
    await session.flush()
    await outbox.emit(
        session,
        UserRenamed(tenant_id=session.tenant_id, user_id=user.user_id, version=user.version, name=name),
    )
    return user


async def change_role(session: TenantSession, actor_id: UUID, user_id: UUID, role: TenantRole) -> UserRow:
    """Give a user another role; the same one changes nothing.

    Raises:
        Forbidden: the old or the new role is more than the actor has.
        LastOwner: nobody else is an owner.
        UserClosed: deactivated users have no role to change.
    """
    user, people = await _lock_managed(session, actor_id, user_id)
    previous = user.role
    if previous == role:
        return user
    if not may_manage(people[actor_id].role, role):
        raise Forbidden
    if user.status != "active":
        raise UserClosed
    if _is_last_owner(user_id, people):
        raise LastOwner
    user.role = role
    await session.flush()
    await revoke_beyond(session, user)
    await outbox.emit(
        session,
        UserRoleChanged(
            tenant_id=session.tenant_id,
            user_id=user.user_id,
            version=user.version,
            role=role,
            previous_role=previous,  # type: ignore[arg-type]  # the table's check allows no other text
        ),
    )
    return user


async def deactivate(session: TenantSession, actor_id: UUID, user_id: UUID) -> None:
    """End an account, its sessions and its password links; a second time changes nothing.

    Raises:
        Forbidden: the user's role is more than the actor has.
        LastOwner: nobody else is an owner.
    """
    user, people = await _lock_managed(session, actor_id, user_id)
    if user.status != "active":
        return
    if _is_last_owner(user_id, people):
        raise LastOwner
    at = whole_millisecond(clock.now())
    user.status, user.tokens_valid_from = "deactivated", at
    await session.flush()
    await end_all(session, user_id, at, "deactivated")
    await void_tokens(session, user_id)
    await revoke_beyond(session, user)
    event = UserDeactivated(tenant_id=session.tenant_id, user_id=user_id, version=user.version, at=at)
    await outbox.emit(session, event)


async def _lock_managed(
    session: TenantSession, actor_id: UUID, user_id: UUID
) -> tuple[UserRow, dict[UUID, UserRow]]:
    """The user and everybody who counts, when the actor may manage the user."""
    await get_user(session, user_id)
    people = await queries.lock_people(session, actor_id, user_id)
    actor, user = people.get(actor_id), people[user_id]
    if actor is None or actor.status != "active" or not may_manage(actor.role, user.role):
        raise Forbidden
    return user, people


def _is_last_owner(user_id: UUID, people: dict[UUID, UserRow]) -> bool:
    owners = {one.user_id for one in people.values() if (one.role, one.status) == ("owner", "active")}
    return owners == {user_id}
