"""What of a tenant's campaigns others project, as events, for `events snapshot`."""

from collections.abc import AsyncIterator

from campaigns.quota.queries import list_months
from common.contracts.campaigns import EmailSendsReserved
from common.contracts.envelope import Event
from common.db.session import TenantSession


async def describe(session: TenantSession) -> AsyncIterator[Event]:
    """What is reserved of each month."""
    for row in await list_months(session):
        yield EmailSendsReserved(
            tenant_id=session.tenant_id, version=row.version, month=row.month, reserved=row.reserved, added=0
        )
