"""Comparisons with Stripe that operators order over HTTP: a row each, which a worker takes.

A process that is told to stop puts its order back; one that dies leaves a claim that runs out. Then the order
is done again from the beginning, which changes nothing that is right already.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

from common.bus import outbox
from common.context import SystemContext
from common.contracts.tenants import ReconciliationOrdered
from common.db.session import TenantSession
from common.errors import NotFound
from common.ids import PLATFORM_TENANT, new_id
from common.lease import kept
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.billing import queries
from tenants.billing.gateway import BillingFailed
from tenants.billing.reconciliation import Entry, Reconciliation, Report
from tenants.billing.worker import Clerk, open_clerk
from tenants.models import ReconciliationRow
from tenants.settings import settings_of

log = logging.getLogger(__name__)

_AT_A_TIME = 2
_POLL_SECONDS = 1.0
_LEASE = timedelta(minutes=2)
ATTEMPTS = 3
"""Times that an order is begun and its process dies, before it is given up (`gave_up`, with an empty report:
what was mended is in the logs of those whose it is)."""


async def order(session: TenantSession, *, dry_run: bool) -> ReconciliationRow:
    """Have the session's tenant compared with Stripe, or all tenants in a session of the platform; while such
    an order is unfinished, it is the answer again.

    Raises:
        NotFound: the tenant has no billing.
    """
    if session.tenant_id != PLATFORM_TENANT:
        await queries.get_subscription(session)
    row, is_new = await queries.put_order(session, dry_run=dry_run)
    if is_new:
        event = ReconciliationOrdered(
            tenant_id=session.tenant_id, job_id=row.job_id, version=1, dry_run=dry_run
        )
        await outbox.emit(session, event)
    return row


async def entries_of(reconciliation: Reconciliation, tenant_id: UUID | None) -> AsyncIterator[Entry]:
    """What came of one tenant, or (None) of all of them.

    Raises:
        NotFound: the tenant has no billing.
        BillingFailed: Stripe does not list its customers.
    """
    if tenant_id is not None:
        yield await reconciliation.run_one(tenant_id)
        return
    async for entry in reconciliation.run():
        yield entry


async def reconcile_ordered(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    async with open_clerk(kernel.database, settings_of(kernel)) as clerk:
        await Comparer(clerk).rounds.run()


class Comparer:
    """Takes the orders of all tenants, and of the platform."""

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk
        self.rounds = Rounds(
            "reconciliation",
            "tenants",
            clerk.database,
            queries.list_ordering_tenants,
            self.work_on,
            _AT_A_TIME,
            _POLL_SECONDS,
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Do one order of the tenant's that nobody is at."""
        context, claim = SystemContext(tenant_id, "job", "tenants"), new_id()
        async with self._clerk.database.tenant(context) as session:
            row = await queries.claim_order(session, claim, _LEASE)
            await session.commit()
        if row is None:
            return
        if row.attempts > ATTEMPTS:
            await self._finish(context, claim, Report(), "gave_up")
            return
        report = Report()
        try:
            async with kept(lambda: self._renew(context, claim), _LEASE.total_seconds() / 4):
                error = await self._compare(context, row, report)
        except asyncio.CancelledError:  # we are told to stop, which is no fault of the order's
            async with self._clerk.database.tenant(context) as session:
                await queries.put_back_order(session, claim)
                await session.commit()
            raise
        await self._finish(context, claim, report, error)

    async def _finish(self, context: SystemContext, claim: UUID, report: Report, error: str | None) -> None:
        async with self._clerk.database.tenant(context) as session:
            is_ours = await queries.finish_order(session, claim, report.document(), error)
            await session.commit()
        if is_ours:
            log.info("billing reconciled", extra={"fields": {**report.counts, "error": error}})

    async def _compare(self, context: SystemContext, row: ReconciliationRow, report: Report) -> str | None:
        """Into the report; why it has ended before its time."""
        whose = None if context.tenant_id == PLATFORM_TENANT else context.tenant_id
        try:
            async for entry in entries_of(Reconciliation(self._clerk, dry_run=row.dry_run), whose):
                report.add(entry)
        except BillingFailed as failure:
            return failure.code
        except NotFound:
            return "no_billing"
        return None

    async def _renew(self, context: SystemContext, claim: UUID) -> bool:
        async with self._clerk.database.tenant(context) as session:
            is_ours = await queries.renew_order(session, claim, _LEASE)
            await session.commit()
        return is_ours
