"""Measures for how long deletions and exports have been unfinished."""

from datetime import timedelta

from sqlalchemy import text

from common.context import SystemContext
from common.ids import PLATFORM_TENANT
from common.metric_names import DELETIONS_AGE, EXPORTS_AGE
from common.metrics import Reading
from common.retention import events_last
from common.watching import watch
from common.web.kernel import Kernel

_AGES = text("SELECT deletion, export FROM tenants.departure_ages(CAST(:events_last AS interval))")

_deletions = Reading(DELETIONS_AGE)
_exports = Reading(EXPORTS_AGE)


async def watch_departures(kernel: Kernel) -> None:
    """Worker: until cancelled."""
    await watch(kernel, look)


async def look(kernel: Kernel) -> None:
    """Measure once."""
    lasting: timedelta = events_last(kernel.settings.event_retention_days)
    async with kernel.database.tenant(SystemContext(PLATFORM_TENANT, "job", kernel.service)) as session:
        ages = (await session.execute(_AGES, {"events_last": lasting})).one()
    _deletions.note(max(ages.deletion or 0.0, 0.0))
    _exports.note(max(ages.export or 0.0, 0.0))
