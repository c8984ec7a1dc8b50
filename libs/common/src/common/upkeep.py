"""Forgets what has served its time, tenant by tenant: rows of the kernel that would grow for ever, and what
the service itself keeps for a limited time only.

Every replica may do it; what is gone is gone.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text

from common import clock
from common.bus.snapshot import list_tenants
from common.context import SystemContext
from common.db.errors import is_unavailable
from common.db.idempotency import LIFETIME_HOURS
from common.db.session import TenantSession
from common.ids import PLATFORM_TENANT
from common.retention import UPKEEP_PAUSE, inbox_lasts
from common.web.kernel import Kernel

log = logging.getLogger(__name__)

Forget = Callable[[TenantSession], Awaitable[bool]]
"""A service's own part: one bounded batch; whether there is more."""

_AGAIN_SECONDS = 30.0
_BATCH = 1000
TOKENS_LAST = timedelta(days=1)
"""Longer than any access token: after that nobody can come with one of a session that was revoked."""


@dataclass(frozen=True, slots=True)
class _Growing:
    """A table of the kernel, and the statement that takes a batch from its old end."""

    table: str
    statement: TextClause
    lasts: timedelta


_KEYS = text("""
DELETE FROM tenancy.idempotency_keys WHERE tenant_id = :tenant AND ctid = ANY (ARRAY(
    SELECT ctid FROM tenancy.idempotency_keys
    WHERE tenant_id = :tenant AND created_at < :before ORDER BY created_at LIMIT :batch))
""")
_REVOCATIONS = text("""
DELETE FROM tenancy.revocations WHERE tenant_id = :tenant AND ctid = ANY (ARRAY(
    SELECT ctid FROM tenancy.revocations WHERE tenant_id = :tenant AND revoked_at < :before LIMIT :batch))
""")
# An event's id begins with its time, so the old ones stand together in the key.
_INBOX = text("""
DELETE FROM tenancy.inbox WHERE tenant_id = :tenant AND ctid = ANY (ARRAY(
    SELECT ctid FROM tenancy.inbox
    WHERE tenant_id = :tenant AND consumer = :consumer AND event_id < :oldest AND handled_at < :before
    LIMIT :batch))
""")


class Upkeep:
    """Forgets in one service's database; `own` is what the service adds."""

    def __init__(self, kernel: Kernel, own: Sequence[Forget] = (), batch: int = _BATCH) -> None:
        self._kernel = kernel
        self._own = own
        self._batch = batch
        self._growing = (
            _Growing("idempotency_keys", _KEYS, timedelta(hours=LIFETIME_HOURS)),
            _Growing("revocations", _REVOCATIONS, TOKENS_LAST),
            _Growing("inbox", _INBOX, inbox_lasts(kernel.settings.event_retention_days)),
        )

    async def run(self) -> None:
        """Every hour, until cancelled; soon again while the database is away."""
        while True:
            try:
                tenants = await list_tenants(self._kernel.settings.relay_database_url)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                _put_off(error)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            for tenant_id in (PLATFORM_TENANT, *tenants):
                await self._try(tenant_id)
            await asyncio.sleep(UPKEEP_PAUSE.total_seconds() * random.uniform(0.9, 1.1))  # noqa: S311 - replicas spread

    async def _try(self, tenant_id: UUID) -> None:
        """What fails for one tenant keeps no other waiting; it comes again in an hour."""
        try:
            await self.tidy(tenant_id)
        except Exception as error:
            if is_unavailable(error):
                _put_off(error)
            else:
                log.exception("upkeep failed")

    async def tidy(self, tenant_id: UUID) -> None:
        """Forget what is old of one tenant, a batch at a time."""
        now = clock.now()
        for growing in self._growing:
            while await self._in_tenant(tenant_id, self._taking(growing, now)):
                pass
        for forget in self._own:
            while await self._in_tenant(tenant_id, forget):
                pass

    def _taking(self, growing: _Growing, now: datetime) -> Forget:
        before = now - growing.lasts

        async def take(session: TenantSession) -> bool:
            values = {"tenant": session.tenant_id, "before": before, "batch": self._batch}
            if growing.table == "inbox":
                values |= {"consumer": self._kernel.service, "oldest": _first_id(before)}
            result = await session.execute(growing.statement, values)
            return result.rowcount == self._batch  # type: ignore[attr-defined, no-any-return]

        return take

    async def _in_tenant(self, tenant_id: UUID, forget: Forget) -> bool:
        context = SystemContext(tenant_id, "job", self._kernel.service)
        async with self._kernel.database.tenant(context) as session:
            more = await forget(session)
            await session.commit()
            return more


def _put_off(error: Exception) -> None:
    log.warning("upkeep put off", extra={"fields": {"error": type(error).__name__}})


def _first_id(moment: datetime) -> UUID:
    """No identifier that was made at `moment` or later is smaller."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
