"""Compares every tenant's billing with Stripe, both ways, mends what differs and says what it was.

`python -m tenants billing reconcile` does it now, a worker once a day (UTC), whichever process comes first.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from common import clock
from common.context import SystemContext
from common.db.errors import is_unavailable
from common.db.session import TenantSession
from common.errors import NotFound
from common.ids import PLATFORM_TENANT, Kind, new_id, parse, to_text
from common.web.kernel import Kernel
from tenants.billing import errand, queries, service
from tenants.billing.drift import findings_of
from tenants.billing.gateway import BillingFailed
from tenants.billing.rules import LEASE
from tenants.billing.service import Case
from tenants.billing.worker import Clerk, open_clerk
from tenants.deletion.queries import find_deletion
from tenants.settings import settings_of

log = logging.getLogger(__name__)

_BATCH = 100
_ATTEMPTS = 3
"""One finds what vanished, one makes it anew, one sees that it agrees."""
_POLL_SECONDS = 60.0
_WAIT_SECONDS = 0.2
_DAYS_LEASE = timedelta(minutes=15)
_KEPT_ENTRIES = 500

Result = Literal["agrees", "mended", "differs", "failed", "over", "orphan"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of one tenant, or of a customer that belongs to none; `customer_id` of orphans only.

    `differs`: nothing was mended, because that was not asked for; `over`: the tenant is being deleted, or was
    meanwhile, and nothing is charged any more.
    """

    result: Result
    tenant_id: str | None
    customer_id: str | None = None
    findings: Sequence[str] = ()
    error: str | None = None


class Reconciliation:
    """One run over all tenants or one."""

    def __init__(self, clerk: Clerk, *, dry_run: bool = False) -> None:
        self._clerk, self._stripe, self._database = clerk, clerk.stripe, clerk.database
        self._dry_run = dry_run

    async def run(self) -> AsyncIterator[Entry]:
        """All tenants, then the customers at Stripe that belong to none.

        Raises:
            BillingFailed: Stripe does not list its customers.
        """
        customers: defaultdict[str | None, list[str]] = defaultdict(list)
        for customer_id, tenant in reversed(await self._stripe.list_all_customers()):
            customers[tenant].append(customer_id)
        async for tenant_id in self._tenants():
            yield await self.compare(tenant_id, customers.pop(to_text(Kind.TENANT, tenant_id), ()))
        for tenant, orphans in customers.items():
            if not await self._is_ours(tenant):
                for customer_id in orphans:
                    yield Entry("orphan", tenant, customer_id)

    async def run_one(self, tenant_id: UUID) -> Entry:
        """One tenant, with the customers at Stripe that have its owner's address.

        Raises:
            NotFound: it has no billing.
            BillingFailed: Stripe does not list its customers.
        """
        case = await self._read(tenant_id)
        return await self.compare(tenant_id, await self._stripe.list_customers(case.tenant, case.owner_email))

    async def compare(self, tenant_id: UUID, others: Sequence[str]) -> Entry:
        """Compare one tenant and mend what differs; `others`: customers that carry its id."""
        tenant = to_text(Kind.TENANT, tenant_id)
        try:
            findings = await (
                self._look(tenant_id, others) if self._dry_run else self._mend(tenant_id, others)
            )
        except BillingFailed as failure:
            return Entry("failed", tenant, error=failure.code)
        except NotFound:
            return Entry("over", tenant)
        except TimeoutError:
            return Entry("failed", tenant, error="busy")
        if not findings:
            return Entry("agrees", tenant)
        return Entry("differs" if self._dry_run else "mended", tenant, findings=findings)

    async def _look(self, tenant_id: UUID, others: Sequence[str]) -> list[str]:
        case = await self._read(tenant_id, service.read_live)
        return [*findings_of(case.known, await errand.look(self._stripe, case, others))]

    async def _mend(self, tenant_id: UUID, others: Sequence[str]) -> list[str]:
        """Mend until both sides agree; what did not before.

        Raises:
            BillingFailed: the attempts are used up, and they still do not; or Stripe refused.
        """
        findings: list[str] = []
        for _ in range(_ATTEMPTS):
            found = await self._clerk.attend(await self._claim(tenant_id), others)
            if not found:
                return findings
            findings += [finding for finding in found if finding not in findings]
            others = ()
        raise BillingFailed("still_differs")

    async def _claim(self, tenant_id: UUID) -> Case:
        """The case, as soon as nobody else is at it.

        Raises:
            NotFound: nobody may be at it any more.
            TimeoutError: somebody was all the time.
        """
        async with asyncio.timeout(2 * LEASE.total_seconds()):
            while True:
                case = await self._clerk.claim(tenant_id, at_once=True)
                if case is not None:
                    return case
                await self._read(tenant_id, service.read_live)
                await asyncio.sleep(_WAIT_SECONDS)

    async def _read(
        self, tenant_id: UUID, read: Callable[[TenantSession], Awaitable[Case]] = service.read
    ) -> Case:
        async with self._database.tenant(SystemContext(tenant_id, "job", "tenants")) as session:
            return await read(session)

    async def _tenants(self) -> AsyncIterator[UUID]:
        last = PLATFORM_TENANT
        while True:
            async with self._database.tenant(SystemContext(PLATFORM_TENANT, "job", "tenants")) as session:
                found = await queries.list_billed_tenants(session, last, _BATCH)
            for tenant_id in found:
                yield tenant_id
            if len(found) < _BATCH:
                return
            last = found[-1]

    async def _is_ours(self, tenant: str | None) -> bool:
        """Whether it is a tenant that signed up while the run went on, or was deleted: its customer stays."""
        try:
            tenant_id = parse(Kind.TENANT, tenant or "")
        except ValueError:
            return False
        async with self._database.tenant(SystemContext(tenant_id, "job", "tenants")) as session:
            if await queries.find_subscription(session) is not None:
                return True
            deletion = await find_deletion(session)
            return deletion is not None and deletion.deleted_at is not None


class Report:
    """How many of each result, and the first of those that did not agree."""

    def __init__(self) -> None:
        self.counts: defaultdict[Result, int] = defaultdict(int)
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.counts[entry.result] += 1
        if entry.result != "agrees" and len(self.entries) < _KEPT_ENTRIES:
            self.entries.append(entry)

    def document(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "entries": [asdict(entry) for entry in self.entries]}


async def reconcile_daily(kernel: Kernel) -> None:
    """Worker: until cancelled."""
    async with open_clerk(kernel.database, settings_of(kernel)) as clerk:
        calendar = Calendar(clerk)
        while True:
            await _try(calendar)
            await asyncio.sleep(_POLL_SECONDS)


async def _try(calendar: "Calendar") -> None:
    try:
        await calendar.reconcile(clock.now().date())
    except BillingFailed as failure:
        log.warning("billing not reconciled", extra={"fields": {"reason": failure.code}})
    except Exception as error:
        if not is_unavailable(error):
            raise
        log.warning("billing not reconciled", extra={"fields": {"error": type(error).__name__}})


class Calendar:
    """One run a day, by whichever process claims the day first."""

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk

    async def reconcile(self, day: date) -> Report | None:
        """The day's report when this call made it; what breaks off is begun again when its claim runs out.

        Raises:
            BillingFailed: Stripe does not list its customers.
        """
        claim = new_id()
        async with self._platform() as session:
            ours = await queries.claim_day(session, day, claim, _DAYS_LEASE)
            await session.commit()
        if not ours:
            return None
        report, renewed = Report(), clock.now()
        async for entry in Reconciliation(self._clerk).run():
            report.add(entry)
            if clock.now() - renewed > _DAYS_LEASE / 3:
                renewed = clock.now()
                await self._renew(day, claim)
        async with self._platform() as session:
            await queries.finish_day(session, day, claim, report.document())
            await session.commit()
        log.info("billing reconciled", extra={"fields": report.counts})
        return report

    async def _renew(self, day: date, claim: UUID) -> None:
        async with self._platform() as session:
            await queries.renew_day(session, day, claim, _DAYS_LEASE)
            await session.commit()

    def _platform(self) -> AbstractAsyncContextManager[TenantSession]:
        return self._clerk.database.tenant(SystemContext(PLATFORM_TENANT, "job", "tenants"))
