"""Route `/api/v1/auth/login`."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.login import queries, service
from auth.login.candidates import Candidates, compute, settle
from auth.login.errors import InvalidCredentials, TenantRequired
from auth.login.guard import guarded
from auth.login.queries import Account
from auth.login.schemas import LoggedIn, LoggedInUser, Login
from auth.parts import AuthParts, Parts
from auth.password.service import address_key
from common.bus import outbox
from common.context import RequestInfo, SystemContext
from common.contracts.auth import LoginFailed
from common.contracts.envelope import Actor
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.web.deps import Shared
from common.web.kernel import Kernel
from common.web.routes import PUBLIC_PROBLEMS, public_router, request_info

router = public_router("/auth", "login")

_ANSWERS: dict[int | str, dict[str, Any]] = {
    401: {**PUBLIC_PROBLEMS[422], "description": "No account fits"},
    409: {**PUBLIC_PROBLEMS[422], "description": "Several accounts fit: `tenants` lists them"},
    429: {**PUBLIC_PROBLEMS[422], "description": "Too many failures: wait"},
}


@router.post("/login", operation_id="logIn", responses=_ANSWERS)
async def log_in(body: Login, request: Request, response: Response, shared: Shared, parts: Parts) -> LoggedIn:
    """Tokens of a new session, for an address and its password.

    Whatever exists, the same hashes are computed (one, until the cost of passwords is raised); refusals are
    answered on a grid of time.
    """
    info = request_info(request)
    key = address_key(parts.settings.link_secret.get_secret_value(), body.email)
    async with guarded(parts, key.hex(), info.ip):
        answer = await _log_in(body, key, info, shared, parts)
    response.headers["Cache-Control"] = "no-store"
    return answer


async def _log_in(body: Login, key: bytes, info: RequestInfo, shared: Kernel, parts: AuthParts) -> LoggedIn:
    platform = SystemContext(PLATFORM_TENANT, "public", shared.service)
    candidates = await compute(shared, parts, key, body.password)
    async with shared.database.tenant(platform) as session:
        accounts = await queries.list_accounts(session, body.email, candidates.hashes)
    fitting = [account for account in accounts if account.open and account.matches]
    chosen = [account for account in fitting if body.tenant_id in (None, account.tenant_id)]
    if len(chosen) > 1:
        raise TenantRequired([(account.tenant_id, account.tenant_name) for account in chosen])
    if not chosen:
        await _tell_failure(accounts, body, key, info, shared)
        raise InvalidCredentials
    opened = await _open(chosen[0], candidates, info, shared, parts)
    await settle(shared, parts, key, body.email, candidates)
    return opened


async def _open(
    account: Account, candidates: Candidates, info: RequestInfo, shared: Kernel, parts: AuthParts
) -> LoggedIn:
    keys = await parts.keys.keys()
    actor = Actor(type="user", id=to_text(Kind.USER, account.user_id))
    context = SystemContext(account.tenant_id, "token", shared.service, request=info, on_behalf_of=actor)
    async with shared.database.tenant(context) as session:
        user, pair = await service.log_in(session, account, candidates, info, keys.active, parts.settings)
        await session.commit()
    return LoggedIn(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        user=LoggedInUser.model_validate(user),
    )


async def _tell_failure(
    accounts: Sequence[Account], body: Login, key: bytes, info: RequestInfo, shared: Kernel
) -> None:
    """Record the refusal in all tenants concerned, at the same time."""
    proven = [account for account in accounts if account.proven]
    concerned = [account for account in proven if body.tenant_id in (None, account.tenant_id)]
    events = service.failures(concerned, key)
    await asyncio.gather(*(_record(event, info, shared) for event in events))


async def _record(event: LoginFailed, info: RequestInfo, shared: Kernel) -> None:
    context = SystemContext(
        event.tenant_id, "public", shared.service, request=info, on_behalf_of=Actor(type="anonymous")
    )
    async with shared.database.tenant(context) as session:
        await outbox.emit(session, event)
        await session.commit()
