"""Deletes tenants whose grace is over, and certifies deletions when nothing is left of their tenants."""

from collections.abc import Sequence
from uuid import UUID

from common.context import SystemContext
from common.db.session import Database, TenantSession
from common.ids import PLATFORM_TENANT
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.deletion import queries, service
from tenants.deletion.rules import events_last

_AT_A_TIME = 2
_POLL_SECONDS = 1.0


async def delete_tenants(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    await Registrar(kernel.database, kernel.settings.event_retention_days).rounds.run()


class Registrar:
    """Takes the steps of all deletions that have come due; `retention_days` is that of events."""

    def __init__(self, database: Database, retention_days: int) -> None:
        self._database = database
        self._retention_days = retention_days
        self.rounds = Rounds(
            *("deletion", "tenants", database, self._list_due, self.work_on),
            at_a_time=_AT_A_TIME,
            poll=_POLL_SECONDS,
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Take the tenant's next step, if it is due."""
        async with self._database.tenant(SystemContext(PLATFORM_TENANT, "job", "tenants")) as session:
            await queries.forget_sign_up(session, tenant_id)
            await session.commit()
        async with self._database.tenant(SystemContext(tenant_id, "job", "tenants")) as session:
            await service.conclude(session, self._retention_days)
            await session.commit()

    async def _list_due(self, session: TenantSession, batch: int) -> Sequence[UUID]:
        return await queries.list_due_tenants(session, batch, events_last(self._retention_days))
