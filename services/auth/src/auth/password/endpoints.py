"""Routes `/api/v1/auth/password/…`."""

from typing import Any

from starlette.requests import Request

from auth.opaque import read_token
from auth.parts import Parts
from auth.password import service
from auth.password.choosing import hash_chosen
from auth.password.errors import TokenUsedOrExpired
from auth.password.schemas import PasswordReset
from common.context import SystemContext
from common.contracts.envelope import Actor
from common.ids import Kind, to_text
from common.web.deps import Shared
from common.web.routes import PUBLIC_PROBLEMS, public_router, request_info

router = public_router("/auth/password", "passwords")


_ANSWERS: dict[int | str, dict[str, Any]] = {
    410: {**PUBLIC_PROBLEMS[422], "description": "The link was used or has expired"}
}


@router.post("/reset", status_code=204, operation_id="resetPassword", responses=_ANSWERS)
async def reset_password(body: PasswordReset, request: Request, shared: Shared, parts: Parts) -> None:
    """Set the password with the secret of a mailed link; it works once."""
    token = read_token(body.token)
    if token is None:
        raise TokenUsedOrExpired
    info = request_info(request)
    async with shared.database.tenant(
        SystemContext(token.tenant_id, "token", shared.service, request=info)
    ) as session:
        holder = await service.get_holder(session, token)
    password_hash = await hash_chosen(shared, parts, body.password, holder.email, holder.company)
    owner = Actor(type="user", id=to_text(Kind.USER, holder.user_id))
    context = SystemContext(token.tenant_id, "token", shared.service, request=info, on_behalf_of=owner)
    async with shared.database.tenant(context) as session:
        await service.set_password(session, token, password_hash)
        await session.commit()
    key = service.address_key(parts.settings.link_secret.get_secret_value(), holder.email)
    await parts.address_throttle.forget(key.hex())
