"""Route `/internal/tokens`: the tenants service asks for the tokens that answer a sign-up."""

from dataclasses import replace

from fastapi import APIRouter, Response
from starlette.requests import Request

from auth.account.queries import lock_user
from auth.parts import Parts
from auth.token import service
from auth.token.errors import SignUpOver
from auth.token.schemas import SignUpTokenRequest, Tokens
from common.context import SystemContext
from common.contracts.envelope import Actor
from common.ids import Kind, to_text
from common.web.deps import Shared
from common.web.routes import TENANT_PROBLEMS, InternalRoute, request_info
from common.web.service_tokens import from_service

router = APIRouter(
    prefix="/internal/tokens",
    tags=["internal"],
    route_class=InternalRoute,
    responses=TENANT_PROBLEMS,
    include_in_schema=False,
)


@router.post("", status_code=201, dependencies=[from_service("tenants")])
async def issue_sign_up_tokens(
    body: SignUpTokenRequest, request: Request, response: Response, shared: Shared, parts: Parts
) -> Tokens:
    """First tokens of a new tenant's owner, until the owner has set a password."""
    info = replace(request_info(request), ip=body.ip, user_agent=body.user_agent)
    owner = Actor(type="user", id=to_text(Kind.USER, body.user_id))
    context = SystemContext(body.tenant_id, "token", shared.service, request=info, on_behalf_of=owner)
    keys = await parts.keys.keys()
    async with shared.database.tenant(context) as session:
        user = await lock_user(session, body.user_id)
        if user.password_hash is not None or (user.role, user.status) != ("owner", "active"):
            raise SignUpOver
        pair = await service.start_session(session, user, info, keys.active, parts.settings)
        await session.commit()
    response.headers["Cache-Control"] = "no-store"
    return Tokens(access_token=pair.access_token, refresh_token=pair.refresh_token)
