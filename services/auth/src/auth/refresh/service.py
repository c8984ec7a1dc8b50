"""Refreshing tokens: each refresh token is spent once and names its successor."""

from auth.account.queries import find_user
from auth.key.pairs import SigningKey
from auth.models import RefreshTokenRow, SessionRow
from auth.opaque import OpaqueToken
from auth.refresh import queries
from auth.refresh.errors import InvalidRefreshToken, RefreshInProgress
from auth.refresh.rules import is_parallel_use
from auth.session.service import end_session, facts_of
from auth.settings import AuthSettings
from auth.token.service import TokenPair, add_refresh_token, sign_access_token
from common import clock
from common.bus import outbox
from common.contracts.auth import RefreshTokenReused, SessionRefreshed
from common.db.session import TenantSession


async def rotate(
    session: TenantSession, token: OpaqueToken, key: SigningKey, settings: AuthSettings
) -> TokenPair | None:
    """Spend the token for a new pair. None: it had been spent before, so its whole session was ended.

    Raises:
        InvalidRefreshToken: it opens nothing.
        RefreshInProgress: a parallel request has spent it.
    """
    row = await queries.lock_token(session, token.row_id)
    if row is None or not token.opens(row.secret_hash):
        raise InvalidRefreshToken
    sign_in = await queries.lock_session_of(session, row)
    now = clock.now()
    if sign_in.ended_at is not None or min(row.expires_at, sign_in.expires_at) <= now:
        raise InvalidRefreshToken
    if row.spent_at is not None:
        successor_used = await queries.is_spent(session, row.successor_id)
        if is_parallel_use(row.spent_at, now, successor_used=successor_used):
            raise RefreshInProgress
        await _end_family(session, sign_in)
        return None
    return await _spend(session, row, sign_in, key, settings)


async def _spend(
    session: TenantSession, row: RefreshTokenRow, sign_in: SessionRow, key: SigningKey, settings: AuthSettings
) -> TokenPair:
    user = await find_user(session, sign_in.user_id)
    if user is None or user.status != "active" or await queries.is_tenant_deleted(session):
        raise InvalidRefreshToken
    successor = await add_refresh_token(session, sign_in)
    row.spent_at = sign_in.last_used_at = clock.now()
    row.successor_id = successor.row_id
    await session.flush()
    await outbox.emit(session, SessionRefreshed(**facts_of(sign_in)))
    access_token = await sign_access_token(session, user, sign_in, key, settings)
    return TokenPair(access_token, successor.text, sign_in.session_id)


async def _end_family(session: TenantSession, sign_in: SessionRow) -> None:
    """End the session, and with it all its refresh and access tokens."""
    await end_session(session, sign_in, "refresh_reuse")
    await outbox.emit(session, RefreshTokenReused(**facts_of(sign_in)))
