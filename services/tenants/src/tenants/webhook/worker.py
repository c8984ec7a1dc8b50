"""Has the tenants of Stripe's events looked at.

An event is only a reason to look: what it says may be old by now, what Stripe says when asked is not. Done
twice, it is a look too many; so neither a crash nor a second process between the steps does harm.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from common.context import SystemContext
from common.db.session import Database, TenantSession
from common.ids import PLATFORM_TENANT
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.billing.queries import request_look
from tenants.webhook import queries
from tenants.webhook.queries import Outcome

_BATCH = 50
_KEPT = timedelta(days=45)
"""Stripe tells an event again for three days, and for thirty when somebody asks it to."""


async def take_in_events(kernel: Kernel) -> None:
    """Worker: until cancelled."""
    await Reader(kernel.database).rounds.run()


class Reader:
    """Works through the events of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.rounds = Rounds("stripe events", "tenants", database, _list_due, self.read_batch, at_a_time=1)

    async def read_batch(self, platform: UUID) -> None:
        """Some open events, oldest first."""
        context = SystemContext(platform, "job", "tenants")
        async with self._database.tenant(context) as session:
            opened = [(row.event_id, row.customer_id) for row in await queries.list_open(session, _BATCH)]
            tenants = {
                customer: await queries.find_tenant(session, customer) for _, customer in opened if customer
            }
        for tenant_id in {found for found in tenants.values() if found}:
            await self._look_at(tenant_id)
        async with self._database.tenant(context) as session:
            for event_id, customer in opened:
                await queries.close_event(session, event_id, _outcome(customer, tenants))
            await queries.drop_old(session, _KEPT)
            await session.commit()

    async def _look_at(self, tenant_id: UUID) -> None:
        async with self._database.tenant(SystemContext(tenant_id, "job", "tenants")) as session:
            await request_look(session)
            await session.commit()


async def _list_due(session: TenantSession, _: int) -> Sequence[UUID]:
    return [PLATFORM_TENANT] if await queries.list_open(session, 1) else []


def _outcome(customer: str | None, tenants: dict[str, UUID | None]) -> Outcome:
    if customer is None:
        return "ignored"
    return "looked" if tenants[customer] else "unknown_customer"
