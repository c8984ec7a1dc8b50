"""Brings due billing to Stripe, a few tenants at a time.

A process that dies between Stripe's answer and the settling commit leaves a claim behind; when it has run
out, the next attempt finds at Stripe what was made. Attempts on one tenant never overlap: the calls of an
attempt end, one way or the other, before its claim does.
"""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from common import telemetry
from common.context import SystemContext
from common.db.errors import is_unavailable
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.web.kernel import Kernel
from tenants.billing import queries, service
from tenants.billing.gateway import BillingFailed, Stripe
from tenants.billing.rules import CALL_SECONDS
from tenants.billing.service import Case
from tenants.settings import settings_of

log = logging.getLogger(__name__)

_AT_A_TIME = 4
_POLL_SECONDS = 0.25
_FAREWELL_SECONDS = 3.0


async def settle_billing(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    settings = settings_of(kernel)
    stripe = Stripe(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base)
    clerk = Clerk(kernel.database, stripe)
    try:
        while True:
            await clerk.open_cases()
    finally:
        await clerk.close()


class Clerk:
    """Works on the cases of all tenants."""

    def __init__(self, database: Database, stripe: Stripe) -> None:
        self._database = database
        self._stripe = stripe
        self._open: set[asyncio.Task[None]] = set()

    async def open_cases(self) -> None:
        """Start on the tenants that have waited longest; returns when it is time to look again."""
        room = _AT_A_TIME - len(self._open)
        for tenant in await self._list_due_tenants(room) if room > 0 else ():
            task = asyncio.create_task(self.work_on(tenant))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        if self._open:
            await asyncio.wait(self._open, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(_POLL_SECONDS)

    async def close(self) -> None:
        """Finish what is under way, within bounds."""
        if not self._open:
            return
        _, late = await asyncio.wait(self._open, timeout=_FAREWELL_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def work_on(self, tenant_id: UUID) -> None:
        """One attempt at a tenant's billing; what fails comes again."""
        context = SystemContext(tenant_id, "job", "tenants")
        telemetry.log_fields.set({"tenant_id": to_text(Kind.TENANT, tenant_id)})
        try:
            async with self._database.tenant(context) as session:
                case = await service.claim(session)
                await session.commit()
            if case is not None:
                with telemetry.span("settle billing", parent=telemetry.remote_context(case.traceparent)):
                    await self._attempt(context, case)
        except Exception as error:
            if not is_unavailable(error):
                log.exception("billing not settled")

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

    async def _list_due_tenants(self, batch: int) -> Sequence[UUID]:
        try:
            async with self._database.tenant(SystemContext(PLATFORM_TENANT, "job", "tenants")) as session:
                return await queries.list_due_tenants(session, batch)
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("due billing not read", extra={"fields": {"error": type(error).__name__}})
            return ()
