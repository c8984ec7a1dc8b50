"""Routes `/api/v1/platform/auth/…`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.login.candidates import Candidates, compute, settle
from auth.login.errors import InvalidCredentials
from auth.login.guard import guarded
from auth.models import OperatorRow
from auth.operator import queries, rules, service
from auth.operator.errors import InvalidCode, MfaRequired
from auth.operator.schemas import OperatorAccount, OperatorCode, OperatorLogin, OperatorToken
from auth.parts import AuthParts, Parts
from auth.password.service import address_key
from common import clock
from common.context import RequestInfo, SystemContext
from common.contracts.envelope import Actor
from common.errors import Unauthenticated
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.web.deps import Shared
from common.web.kernel import Kernel
from common.web.platform import AtThePlatform, Operator, platform_router
from common.web.routes import PUBLIC_PROBLEMS, public_router, request_info

logins = public_router("/platform/auth", "operators")
router = platform_router("/auth", "operators")

_ANSWERS: dict[int | str, dict[str, Any]] = {
    401: {**PUBLIC_PROBLEMS[422], "description": "Refused, or a code is needed as well"},
    429: {**PUBLIC_PROBLEMS[422], "description": "Too many failures: wait"},
}


@logins.post("/login", operation_id="logInOperator", responses=_ANSWERS)
async def log_in(
    body: OperatorLogin, request: Request, response: Response, shared: Shared, parts: Parts
) -> OperatorToken:
    """A token for an operator's address and password, or what a code is to be sent with."""
    info = request_info(request)
    key = address_key(parts.settings.link_secret.get_secret_value(), body.email)
    async with guarded(parts, f"operator/{key.hex()}", info.ip):
        candidates = await compute(shared, parts, key, body.password)
        row = await _check_password(body.email, key, candidates, info, shared, parts)
        await settle(shared, parts, key, body.email, candidates)
    if row.totp_secret is not None:
        secret = parts.settings.link_secret.get_secret_value()
        raise MfaRequired(rules.mfa_token(secret, row.operator_id, clock.now()))
    response.headers["Cache-Control"] = "no-store"
    return OperatorToken(access_token=await _open(row, info, shared, parts))


@logins.post("/mfa", operation_id="confirmOperator", responses=_ANSWERS)
async def confirm(
    body: OperatorCode, request: Request, response: Response, shared: Shared, parts: Parts
) -> OperatorToken:
    """A token for a code, which works once, after the password."""
    info = request_info(request)
    secret = parts.settings.link_secret.get_secret_value()
    operator_id = rules.read_mfa_token(secret, body.mfa_token, clock.now())
    async with guarded(parts, f"code of operator/{operator_id or body.mfa_token}", info.ip):
        if operator_id is None:
            raise InvalidCode
        keys = parts.settings.encryption_keys
        async with shared.database.tenant(_context(shared, info)) as session:
            row = await queries.lock_operator(session, operator_id)
            right = row is not None and await service.use_code(session, row, body.code, clock.now(), keys)
            if not right:
                await service.tell_failure(session, row, None, "wrong_code")
            await session.commit()
        if row is None or not right:
            raise InvalidCode
    response.headers["Cache-Control"] = "no-store"
    return OperatorToken(access_token=await _open(row, info, shared, parts))


@router.get("/me", operation_id="getOperator")
async def get_me(operator: Operator, session: AtThePlatform) -> OperatorAccount:
    """The operator of the token."""
    row = await queries.find_operator(session, operator.operator_id)
    if row is None or row.status != "active":
        raise Unauthenticated
    return OperatorAccount(
        operator_id=row.operator_id,
        email=row.email,
        name=row.name,
        mfa_enabled=row.totp_secret is not None,
        created_at=row.created_at,
    )


async def _check_password(
    email: str, key: bytes, candidates: Candidates, info: RequestInfo, shared: Kernel, parts: AuthParts
) -> OperatorRow:
    required = parts.settings.operator_mfa_required
    async with shared.database.tenant(_context(shared, info)) as session:
        row = await queries.find_by_email(session, email)
        refusal = rules.judge(service.account_of(row), candidates.hashes, mfa_required=required)
        if refusal is not None:
            await service.tell_failure(session, row, key, refusal)
        elif row is not None:
            row.password_hash = candidates.present
        await session.commit()
    if row is None or refusal is not None:
        raise InvalidCredentials
    return row


async def _open(row: OperatorRow, info: RequestInfo, shared: Kernel, parts: AuthParts) -> str:
    keys = await parts.keys.keys()
    operator = Actor(type="operator", id=to_text(Kind.OPERATOR, row.operator_id))
    async with shared.database.tenant(_context(shared, info, operator)) as session:
        token = await service.sign_in(session, row, keys.active, parts.settings)
        await session.commit()
    return token


def _context(shared: Kernel, info: RequestInfo, actor: Actor | None = None) -> SystemContext:
    """The platform's tenant; `actor`: who has proved to be an operator, if anybody has yet."""
    actor = actor or Actor(type="anonymous")
    return SystemContext(PLATFORM_TENANT, "token", shared.service, request=info, on_behalf_of=actor)
