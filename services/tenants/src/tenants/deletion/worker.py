"""Deletes tenants whose grace is over, and certifies deletions when nothing is left of their tenants."""

import logging
from collections.abc import Sequence
from uuid import UUID

from common.context import SystemContext
from common.db.session import Database, TenantSession
from common.errors import NotFound
from common.ids import PLATFORM_TENANT
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.billing import errand
from tenants.billing.gateway import BillingFailed, Stripe
from tenants.billing.service import retire
from tenants.deletion import queries, service
from tenants.deletion.rules import events_last
from tenants.settings import settings_of

log = logging.getLogger(__name__)

_AT_A_TIME = 2
_POLL_SECONDS = 1.0
_STRIPE_PAUSE_SECONDS = 30.0
_BUSY_PAUSE_SECONDS = 1.0


async def delete_tenants(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    settings = settings_of(kernel)
    stripe = Stripe(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base)
    try:
        await Registrar(kernel.database, stripe, settings.event_retention_days).rounds.run()
    finally:
        await stripe.close()


class Registrar:
    """Takes the steps of all deletions that have come due; `retention_days` is that of events."""

    def __init__(self, database: Database, stripe: Stripe, retention_days: int) -> None:
        self._database = database
        self._stripe = stripe
        self._retention_days = retention_days
        self.rounds = Rounds(
            *("deletion", "tenants", database, self._list_due, self.work_on),
            at_a_time=_AT_A_TIME,
            poll=_POLL_SECONDS,
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Take the tenant's next step, if it is due. Whoever is deleted must not be charged any more, so that
        is seen to first; each step may be taken twice."""
        context = SystemContext(tenant_id, "job", "tenants")
        if not await self._end_billing(context):
            return
        async with self._database.tenant(SystemContext(PLATFORM_TENANT, "job", "tenants")) as session:
            await queries.forget_sign_up(session, tenant_id)
            await session.commit()
        async with self._database.tenant(context) as session:
            await service.conclude(session, self._retention_days)
            await session.commit()

    async def _end_billing(self, context: SystemContext) -> bool:
        """Whether nothing is charged any more; while Stripe is away or in use for it, all waits."""
        try:
            async with self._database.tenant(context) as session:
                due = await service.is_due(session)
                case = await retire(session) if due else None
                await session.commit()
        except NotFound:  # nothing was ever to be paid
            return True
        if not due:
            return True
        if case is None:
            self.rounds.pause(_BUSY_PAUSE_SECONDS)
            return False
        try:
            await errand.end(self._stripe, case)
        except BillingFailed as error:
            log.warning("deletion put off", extra={"fields": {"reason": error.code}})
            self.rounds.pause(_STRIPE_PAUSE_SECONDS)
            return False
        return True

    async def _list_due(self, session: TenantSession, batch: int) -> Sequence[UUID]:
        return await queries.list_due_tenants(session, batch, events_last(self._retention_days))
