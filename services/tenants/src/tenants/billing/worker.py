"""Brings due billing to Stripe, a few tenants at a time.

Whatever the reason (a sign-up, a wish, an event of Stripe's, the end of a grace period), an attempt is the
same: look at what Stripe has, mend what differs, store how it stands. So neither the order nor the number of
reasons matters.

A process that dies between Stripe's answer and the settling commit leaves a claim behind; when it has run
out, the next attempt finds at Stripe what was made. Attempts on one tenant never overlap: the calls of an
attempt end, one way or the other, before its claim does.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from common import telemetry
from common.context import SystemContext
from common.db.session import Database
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.billing import errand, queries, service
from tenants.billing.drift import Finding, findings_of
from tenants.billing.gateway import BillingFailed, Stripe, opened_stripe
from tenants.billing.rules import CALL_SECONDS, GRACE
from tenants.billing.service import Case
from tenants.settings import TenantsSettings, settings_of

log = logging.getLogger(__name__)

_AT_A_TIME = 4
_FAREWELL_SECONDS = 3.0


async def settle_billing(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    async with open_clerk(kernel.database, settings_of(kernel)) as clerk:
        await clerk.rounds.run()


@asynccontextmanager
async def open_clerk(database: Database, settings: TenantsSettings) -> AsyncGenerator["Clerk"]:
    """A clerk for the installation's Stripe account."""
    async with opened_stripe(settings) as stripe:
        yield Clerk(database, stripe, timedelta(days=settings.billing_grace_days))


class Clerk:
    """Works on the cases of all tenants."""

    def __init__(self, database: Database, stripe: Stripe, grace: timedelta = GRACE) -> None:
        self.database = database
        self.stripe = stripe
        self._grace = grace
        self.rounds = Rounds(
            "billing",
            "tenants",
            database,
            queries.list_due_tenants,
            self.work_on,
            at_a_time=_AT_A_TIME,
            farewell=_FAREWELL_SECONDS,
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """One attempt at a tenant's due billing; what fails comes again."""
        case = await self.claim(tenant_id)
        if case is None:
            return
        with telemetry.span("settle billing", parent=telemetry.remote_context(case.traceparent)):
            try:
                await self.attend(case)
            except BillingFailed as failure:
                log.warning("billing put off", extra={"fields": {"reason": failure.code}})

    async def claim(self, tenant_id: UUID, *, at_once: bool = False) -> Case | None:
        """Make the tenant's case ours."""
        async with self.database.tenant(_context(tenant_id)) as session:
            case = await service.claim(session, at_once=at_once)
            await session.commit()
        return case

    async def attend(self, case: Case, others: Sequence[str] = ()) -> list[Finding]:
        """Look, mend and settle a claimed case; what did not agree.

        Raises:
            BillingFailed: the case was put off.
        """
        try:
            async with asyncio.timeout(CALL_SECONDS):
                drift = await errand.look(self.stripe, case, others)
                standing = None if drift.vanished else await errand.mend(self.stripe, case, drift)
        except (BillingFailed, TimeoutError) as error:
            failure = error if isinstance(error, BillingFailed) else BillingFailed("stripe_timeout")
            async with self.database.tenant(_context(case.tenant_id)) as session:
                await service.put_off(session, case, failure.code)
                await session.commit()
            raise failure from error
        context = _context(case.tenant_id)
        if drift.must_change_plan:
            context = replace(context, on_behalf_of=case.wanted_by)
        async with self.database.tenant(context) as session:
            if standing is None:
                await service.forget(session, case)
            else:
                await service.settle(session, case, standing, self._grace)
            await session.commit()
        return findings_of(case.known, drift)


def _context(tenant_id: UUID) -> SystemContext:
    return SystemContext(tenant_id, "job", "tenants")
