"""Routes `/api/v1/users`."""

from auth.account.queries import get_user as load_user
from auth.user import queries, service
from auth.user.schemas import User, UserUpdate
from common.context import UserContext
from common.db.session import TenantSession
from common.errors import Forbidden
from common.ids import UserId
from common.schema import Page
from common.web.deps import Caller, Cursor, Limit, Session, Shared, owner_or_admin
from common.web.routes import tenant_router

router = tenant_router("/users", "users")


@router.get("", operation_id="listUsers", dependencies=[owner_or_admin])
async def list_users(
    session: Session, shared: Shared, limit: Limit = 20, cursor: Cursor = None
) -> Page[User]:
    """All users of the tenant, newest first; for owners and admins."""
    rows, next_cursor = await queries.list_users(session, shared.cursors, limit, cursor)
    return Page(data=[User.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{user_id}", operation_id="getUser")
async def get_user(user_id: UserId, session: Session, caller: Caller) -> User:
    """One user; for owners, admins and the user."""
    _require_self_or_admin(session, caller, user_id)
    return User.model_validate(await load_user(session, user_id))


@router.patch("/{user_id}", operation_id="updateUser")
async def update_user(user_id: UserId, body: UserUpdate, session: Session, caller: Caller) -> User:
    """Change name or role. Users change their own name; owners and admins everybody's, as far as they go."""
    _require_self_or_admin(session, caller, user_id)
    if body.role is not None:
        await service.change_role(session, caller.user_id, user_id, body.role)
    if body.name is not None:
        await service.rename(session, caller.user_id, user_id, body.name)
    user = await load_user(session, user_id)
    await session.refresh(user)
    return User.model_validate(user)


@router.delete("/{user_id}", status_code=204, operation_id="deactivateUser", dependencies=[owner_or_admin])
async def deactivate_user(user_id: UserId, session: Session, caller: Caller) -> None:
    """Deactivate a user: all tokens stop working everywhere, memberships end. The last owner stays."""
    await service.deactivate(session, caller.user_id, user_id)


def _require_self_or_admin(session: TenantSession, caller: UserContext, user_id: UserId) -> None:
    if user_id != caller.user_id and session.standing.role == "member":
        raise Forbidden
