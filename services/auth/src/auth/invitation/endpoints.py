"""Routes `/api/v1/invitations`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.invitation import queries, service
from auth.invitation.schemas import Invitation, InvitationAccept, InvitationCreate
from auth.login.schemas import LoggedIn, LoggedInUser
from auth.opaque import read_token
from auth.parts import Parts
from auth.password.choosing import hash_chosen
from auth.password.errors import TokenUsedOrExpired
from auth.token.service import start_session
from common.context import SystemContext
from common.contracts.envelope import Actor
from common.ids import InvitationId, Kind, new_id, to_text
from common.schema import Page
from common.web.deps import Caller, Cursor, Limit, Session, Shared, owner_or_admin
from common.web.routes import PUBLIC_PROBLEMS, public_router, request_info, tenant_router
from common.web.workspace_access import require_workspace

router = tenant_router("/invitations", "invitations")
accepting = public_router("/invitations", "invitations")

_ANSWERS: dict[int | str, dict[str, Any]] = {
    403: {**PUBLIC_PROBLEMS[422], "description": "The tenant is suspended"},
    410: {**PUBLIC_PROBLEMS[422], "description": "The link was used, revoked or has expired"},
}


@router.post("", status_code=201, operation_id="inviteUser", dependencies=[owner_or_admin])
async def invite_user(body: InvitationCreate, session: Session, caller: Caller, parts: Parts) -> Invitation:
    """Invite an address; it gets a mail. Counts against `max_users` until it is over."""
    for offer in body.workspaces:
        await require_workspace(session, offer.workspace_id, "admin")
    link_secret = parts.settings.link_secret.get_secret_value()
    row = await service.invite(session, caller.user_id, body, link_secret)
    await session.refresh(row)
    return Invitation.model_validate(row)


@router.get("", operation_id="listInvitations", dependencies=[owner_or_admin])
async def list_invitations(
    session: Session, shared: Shared, limit: Limit = 20, cursor: Cursor = None
) -> Page[Invitation]:
    """All invitations, newest first."""
    rows, next_cursor = await queries.list_invitations(session, shared.cursors, limit, cursor)
    return Page(data=[Invitation.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{invitation_id}", operation_id="getInvitation", dependencies=[owner_or_admin])
async def get_invitation(invitation_id: InvitationId, session: Session) -> Invitation:
    """One invitation."""
    return Invitation.model_validate(await queries.get_invitation(session, invitation_id))


@router.delete(
    "/{invitation_id}", status_code=204, operation_id="revokeInvitation", dependencies=[owner_or_admin]
)
async def revoke_invitation(invitation_id: InvitationId, session: Session) -> None:
    """Make an invitation's link worthless."""
    await service.revoke(session, await queries.get_invitation(session, invitation_id, lock=True))


@accepting.post("/accept", status_code=201, operation_id="acceptInvitation", responses=_ANSWERS)
async def accept_invitation(
    body: InvitationAccept, request: Request, response: Response, shared: Shared, parts: Parts
) -> LoggedIn:
    """Become a user, with the secret of a mailed link; it works once."""
    token = read_token(body.token)
    if token is None:
        raise TokenUsedOrExpired
    info, user_id = request_info(request), new_id()
    async with shared.database.tenant(SystemContext(token.tenant_id, "public", shared.service)) as session:
        row = await service.check(session, token)
        company, _ = await queries.get_tenant(session)
    password_hash = await hash_chosen(shared, parts, body.password, row.email, company)
    keys = await parts.keys.keys()
    actor = Actor(type="user", id=to_text(Kind.USER, user_id))
    context = SystemContext(token.tenant_id, "token", shared.service, request=info, on_behalf_of=actor)
    async with shared.database.tenant(context) as session:
        user = await service.accept(session, token, user_id, body.name, password_hash)
        pair = await start_session(session, user, info, keys.active, parts.settings)
        await session.commit()
    response.headers["Cache-Control"] = "no-store"
    shown = LoggedInUser.model_validate(user)
    return LoggedIn(access_token=pair.access_token, refresh_token=pair.refresh_token, user=shown)
