"""What can be done with a user."""

from auth.account import queries
from auth.mail.service import queue_welcome
from auth.models import UserRow
from common.bus import outbox
from common.contracts.auth import FirstMembership, UserRegistered
from common.contracts.tenants import TenantProvisioned
from common.db.session import TenantSession


async def register_owner(session: TenantSession, event: TenantProvisioned) -> None:
    """Open the account of a new tenant's owner and queue the welcome mail; once only."""
    owner = event.owner
    if await queries.find_user(session, owner.user_id) is not None:
        return
    user = UserRow(user_id=owner.user_id, email=owner.email, name=owner.name, role="owner")
    session.add(user)
    await session.flush()
    workspace_id = event.default_workspace.workspace_id
    await outbox.emit(
        session,
        UserRegistered(
            tenant_id=session.tenant_id,
            user_id=user.user_id,
            version=user.version,
            email=user.email,
            name=user.name,
            role="owner",
            memberships=(FirstMembership(workspace_id=workspace_id, role="admin"),),
        ),
    )
    await queue_welcome(session, user, event.company_name)
