"""Brings due billing to Stripe, a few tenants at a time.

A process that dies between Stripe's answer and the settling commit leaves a claim behind; when it has run
out, the next attempt finds at Stripe what was made. Attempts on one tenant never overlap: the calls of an
attempt end, one way or the other, before its claim does.
"""

import asyncio
import logging
from uuid import UUID

from common import telemetry
from common.context import SystemContext
from common.db.session import Database
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.billing import queries, service
from tenants.billing.gateway import BillingFailed, Stripe
from tenants.billing.rules import CALL_SECONDS
from tenants.billing.service import Case
from tenants.settings import settings_of

log = logging.getLogger(__name__)

_AT_A_TIME = 4
_FAREWELL_SECONDS = 3.0


async def settle_billing(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    settings = settings_of(kernel)
    stripe = Stripe(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base)
    await Clerk(kernel.database, stripe).rounds.run()


class Clerk:
    """Works on the cases of all tenants."""

    def __init__(self, database: Database, stripe: Stripe) -> None:
        self._database = database
        self._stripe = stripe
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
        """One attempt at a tenant's billing; what fails comes again."""
        context = SystemContext(tenant_id, "job", "tenants")
        async with self._database.tenant(context) as session:
            case = await service.claim(session)
            await session.commit()
        if case is not None:
            with telemetry.span("settle billing", parent=telemetry.remote_context(case.traceparent)):
                await self._attempt(context, case)

    async def _attempt(self, context: SystemContext, case: Case) -> None:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                customer_id = await service.ensure_customer(self._stripe, case)
                made = await service.ensure_subscription(self._stripe, case, customer_id)
        except (BillingFailed, TimeoutError) as error:
            code = error.code if isinstance(error, BillingFailed) else "stripe_timeout"
            log.warning("billing put off", extra={"fields": {"reason": code}})
            async with self._database.tenant(context) as session:
                await service.put_off(session, case, code)
                await session.commit()
            return
        async with self._database.tenant(context) as session:
            await service.settle(session, case, customer_id, made)
            await session.commit()
