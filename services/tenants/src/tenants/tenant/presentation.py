"""How the tenant's state is answered, to itself and to operators."""

from common import clock
from common.db.session import TenantSession
from tenants.tenant.queries import count_in_use
from tenants.tenant.schemas import InUse


async def present_usage(session: TenantSession) -> InUse:
    """What of the tenant's limits is in use; the e-mails are those of the month (UTC)."""
    month = clock.now().date().replace(day=1)
    workspaces, users, email_sends = await count_in_use(session, month)
    return InUse(workspaces=workspaces, users=users, email_sends_this_month=email_sends)
