"""Route `/api/v1/auth/me`."""

from auth.account import queries
from auth.account.schemas import Me, Membership
from common.web.deps import Caller, Session
from common.web.routes import account_router

router = account_router("/auth", "account")


@router.get("/me", operation_id="getMe")
async def get_me(session: Session, caller: Caller) -> Me:
    """The caller, with the role and workspaces of this moment."""
    user = await queries.get_user(session, caller.user_id)
    memberships = await queries.list_workspaces(session, caller.user_id)
    return Me(
        user_id=user.user_id,
        tenant_id=user.tenant_id,
        session_id=caller.session_id,
        email=user.email,
        name=user.name,
        role=session.standing.role,
        tenant_status=session.standing.tenant_status,
        workspaces=[Membership.model_validate(row) for row in memberships],
        mfa_enabled=user.mfa_enabled,
        password_set=user.password_hash is not None,
        email_verified=user.email_verified_at is not None,
        created_at=user.created_at,
    )
