"""Logging in."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from auth.account.queries import find_user
from auth.key.pairs import SigningKey
from auth.login.candidates import Candidates
from auth.login.errors import InvalidCredentials
from auth.login.queries import Account, store_hash
from auth.models import UserRow
from auth.settings import AuthSettings
from auth.token.service import TokenPair, start_session
from common.bus import outbox
from common.context import RequestInfo
from common.contracts.auth import LoginFailed, UserLoggedIn
from common.db.session import TenantSession
from common.ids import PLATFORM_TENANT

Reason = Literal["unknown_address", "wrong_password", "account_closed"]


async def log_in(
    session: TenantSession,
    account: Account,
    candidates: Candidates,
    request: RequestInfo,
    key: SigningKey,
    settings: AuthSettings,
) -> tuple[UserRow, TokenPair]:
    """First tokens of a new session of the account, in its own tenant. Its password, whose hash is one of the
    candidates, is stored at the present cost from then on.

    Raises:
        InvalidCredentials: it was closed or erased or its password changed since it was looked up.
    """
    user = await find_user(session, account.user_id, lock=True)
    if user is None or user.status != "active" or user.password_hash not in candidates.hashes:
        raise InvalidCredentials
    if user.password_hash != candidates.present:
        await store_hash(session, user.user_id, candidates.present)
    pair = await start_session(session, user, request, key, settings)
    event = UserLoggedIn(
        tenant_id=session.tenant_id, user_id=user.user_id, version=user.version, session_id=pair.session_id
    )
    await outbox.emit(session, event)
    return user, pair


def failures(accounts: Sequence[Account], address_key: bytes) -> list[LoginFailed]:
    """What to tell of a refused log-in: each tenant concerned its own part, else the platform."""
    told: list[tuple[UUID, UUID | None, Reason]] = [
        (account.tenant_id, account.user_id, _reason(account)) for account in accounts
    ]
    return [
        LoginFailed(tenant_id=tenant_id, user_id=user_id, address_key=address_key.hex(), reason=reason)
        for tenant_id, user_id, reason in told or [(PLATFORM_TENANT, None, "unknown_address")]
    ]


def _reason(account: Account) -> Reason:
    return "wrong_password" if account.open else "account_closed"
