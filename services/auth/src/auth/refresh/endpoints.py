"""Route `/api/v1/auth/refresh`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.opaque import read_token
from auth.parts import Parts
from auth.refresh import service
from auth.refresh.errors import InvalidRefreshToken
from auth.refresh.schemas import Refresh
from auth.token.schemas import Tokens
from common.context import SystemContext
from common.contracts.envelope import Actor
from common.web.deps import Shared
from common.web.routes import PUBLIC_PROBLEMS, public_router, request_info

router = public_router("/auth", "refresh")

_ANSWERS: dict[int | str, dict[str, Any]] = {
    401: {**PUBLIC_PROBLEMS[422], "description": "The token is worth nothing"},
    409: {**PUBLIC_PROBLEMS[422], "description": "A parallel request has just used the token"},
}


@router.post("/refresh", operation_id="refreshTokens", responses=_ANSWERS)
async def refresh_tokens(
    body: Refresh, request: Request, response: Response, shared: Shared, parts: Parts
) -> Tokens:
    """A new pair for a refresh token, which is spent by it."""
    token = read_token(body.refresh_token)
    if token is None:
        raise InvalidRefreshToken
    keys = await parts.keys.keys()
    context = SystemContext(
        token.tenant_id,
        "token",
        shared.service,
        request=request_info(request),
        on_behalf_of=Actor(type="anonymous"),
    )
    async with shared.database.tenant(context) as session:
        pair = await service.rotate(session, token, keys.active, parts.settings)
        await session.commit()
    if pair is None:
        raise InvalidRefreshToken
    response.headers["Cache-Control"] = "no-store"
    return Tokens(access_token=pair.access_token, refresh_token=pair.refresh_token)
