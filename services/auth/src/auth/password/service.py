"""Setting a password."""

import hmac
from dataclasses import dataclass, replace
from uuid import UUID

from auth.account.queries import find_user
from auth.models import PasswordTokenRow
from auth.opaque import OpaqueToken
from auth.password import queries
from auth.password.errors import TokenUsedOrExpired
from auth.password.hashing import Cost, Parameters, fresh_parameters
from auth.session.service import revoke_all
from common import clock
from common.bus import outbox
from common.contracts.auth import PasswordChanged
from common.db.session import TenantSession


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a password link belongs to, and what their password must not contain."""

    user_id: UUID
    email: str
    company: str


async def get_holder(session: TenantSession, token: OpaqueToken) -> Holder:
    """The account that a password link opens.

    Raises:
        TokenUsedOrExpired: it opens none.
    """
    row = _check(token, await queries.find_token(session, token.row_id))
    user = await find_user(session, row.user_id)
    if user is None:
        raise TokenUsedOrExpired
    return Holder(user.user_id, user.email, await queries.get_company_name(session))


def address_key(link_secret: str, email: str) -> bytes:
    """Name of an address's salt, which tells the address to nobody."""
    return hmac.digest(bytes.fromhex(link_secret), f"address|{email}".encode(), "sha256")


async def get_parameters(session: TenantSession, key: bytes, cost: Cost) -> Parameters:
    """With what a new password of an address is hashed: its salt, made when it has none, at this cost; in a
    context of the platform's tenant. What its passwords have cost until now stays noted."""
    parameters = await queries.get_parameters(session, key, fresh_parameters(cost))
    return replace(parameters, cost=cost)


async def set_password(session: TenantSession, token: OpaqueToken, password_hash: str) -> None:
    """Use the link up: new password, address proven, every earlier session and link worthless.

    Raises:
        TokenUsedOrExpired: somebody was faster.
    """
    row = _check(token, await queries.find_token(session, token.row_id, lock=True))
    user = await find_user(session, row.user_id, lock=True)
    if user is None:
        raise TokenUsedOrExpired
    now, first = clock.now(), user.password_hash is None
    user.password_hash, user.password_set_at = password_hash, now
    user.email_verified_at = user.email_verified_at or now
    await session.flush()
    await queries.void_tokens(session, user.user_id)
    await outbox.emit(
        session,
        PasswordChanged(tenant_id=session.tenant_id, user_id=user.user_id, version=user.version, first=first),
    )
    await revoke_all(session, user, "password_changed")


def _check(token: OpaqueToken, row: PasswordTokenRow | None) -> PasswordTokenRow:
    good = row is not None and token.opens(row.secret_hash)
    if row is None or not good or row.used_at is not None or row.expires_at <= clock.now():
        raise TokenUsedOrExpired
    return row
