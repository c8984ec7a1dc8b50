"""Issuing access and refresh tokens."""

from dataclasses import dataclass
from uuid import UUID

import jwt

from auth.key.pairs import ALGORITHM, SigningKey
from auth.models import RefreshTokenRow, SessionRow, UserRow
from auth.opaque import OpaqueToken, random_token
from auth.session.service import facts_of
from auth.settings import AuthSettings
from auth.token import queries
from auth.token.rules import REFRESH_TOKEN_LIFE, Subject, access_claims, issue_time
from common import clock
from common.bus import outbox
from common.context import RequestInfo
from common.contracts.auth import SessionStarted
from common.db.session import TenantSession
from common.ids import new_id
from common.web.tokens import TYPE


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    session_id: UUID


async def start_session(
    session: TenantSession, user: UserRow, request: RequestInfo, key: SigningKey, settings: AuthSettings
) -> TokenPair:
    """A new session of the user, with its first tokens."""
    sign_in = SessionRow(
        session_id=new_id(),
        user_id=user.user_id,
        ip=request.ip,
        user_agent=request.user_agent,
        expires_at=clock.now() + REFRESH_TOKEN_LIFE,
    )
    session.add(sign_in)
    await session.flush()
    refresh_token = (await add_refresh_token(session, sign_in)).text
    await outbox.emit(session, SessionStarted(**facts_of(sign_in)))
    access_token = await sign_access_token(session, user, sign_in, key, settings)
    return TokenPair(access_token, refresh_token, sign_in.session_id)


async def add_refresh_token(session: TenantSession, sign_in: SessionRow) -> OpaqueToken:
    """The session's next refresh token; it ends with the session at the latest."""
    token = random_token(session.tenant_id, new_id())
    session.add(
        RefreshTokenRow(
            token_id=token.row_id,
            session_id=sign_in.session_id,
            secret_hash=token.secret_hash,
            expires_at=sign_in.expires_at,
        )
    )
    await session.flush()
    return token


async def sign_access_token(
    session: TenantSession, user: UserRow, sign_in: SessionRow, key: SigningKey, settings: AuthSettings
) -> str:
    """An access token of the session, with what the user is at this moment."""
    subject = Subject(
        tenant_id=session.tenant_id,
        user_id=user.user_id,
        session_id=sign_in.session_id,
        email=user.email,
        role=user.role,
        workspaces=await queries.list_newest_workspaces(session, user.user_id),
    )
    issued_at = issue_time(clock.now(), user.tokens_valid_from)
    claims = access_claims(subject, issued_at, settings.token_issuer, settings.token_audience)
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": TYPE})
