"""Deletes tenants whose grace is over, and certifies deletions when nothing is left of their tenants.

A step is claimed first; what fails comes again later and later, and keeps no other tenant waiting.
"""

import logging
from uuid import UUID

from common.context import SystemContext
from common.db.session import Database
from common.errors import NotFound
from common.files import Files, folder_of
from common.ids import PLATFORM_TENANT
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.billing import errand
from tenants.billing.gateway import BillingFailed, Stripe, opened_stripe
from tenants.billing.service import retire
from tenants.deletion import queries, service
from tenants.settings import settings_of

log = logging.getLogger(__name__)

_AT_A_TIME = 4
_POLL_SECONDS = 1.0
_BUSY = "billing_busy"


async def delete_tenants(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    settings = settings_of(kernel)
    files = Files(settings.files_url)
    async with opened_stripe(settings) as stripe:
        await Registrar(kernel.database, stripe, files, settings.event_retention_days).rounds.run()


class Registrar:
    """Takes the steps of all deletions that have come due; `retention_days` is that of events."""

    def __init__(self, database: Database, stripe: Stripe, files: Files, retention_days: int) -> None:
        self._database = database
        self._stripe = stripe
        self._files = files
        self._retention_days = retention_days
        self.rounds = Rounds(
            "deletion", "tenants", database, queries.list_due_tenants, self.work_on, _AT_A_TIME, _POLL_SECONDS
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Take the tenant's next step, if it is due; each may be taken twice."""
        context = SystemContext(tenant_id, "job", "tenants")
        async with self._database.tenant(context) as session:
            row = await service.begin_step(session)
            await session.commit()
        if row is None:
            return
        if row.deleted_at is None:
            await self._delete(context)
        else:
            await self._follow_up(context)

    async def _delete(self, context: SystemContext) -> None:
        """Whoever is deleted must not be charged any more, so that is seen to first."""
        problem = await self._end_billing(context)
        if problem is not None:
            log.warning("deletion put off", extra={"fields": {"reason": problem}})
            async with self._database.tenant(context) as session:
                await service.put_off(session, problem)
                await session.commit()
            return
        async with self._database.tenant(SystemContext(PLATFORM_TENANT, "job", "tenants")) as session:
            await queries.forget_sign_up(session, context.tenant_id)
            await session.commit()
        async with self._database.tenant(context) as session:
            await service.delete(session)
            await session.commit()

    async def _end_billing(self, context: SystemContext) -> str | None:
        """Why something may be charged still; None: nothing is."""
        try:
            async with self._database.tenant(context) as session:
                case = await retire(session)
                await session.commit()
        except NotFound:  # nothing was ever to be paid
            return None
        if case is None:
            return _BUSY
        try:
            await errand.end(self._stripe, case)
        except BillingFailed as error:
            return error.code
        return None

    async def _follow_up(self, context: SystemContext) -> None:
        """Files first: one may have been written while the tenant was being erased."""
        await self._files.erase_below(folder_of(context.tenant_id))
        async with self._database.tenant(context) as session:
            await service.follow_up(session, self._retention_days)
            await session.commit()
