"""Measures how many sign-ups are unfinished, and for how long."""

import asyncio
import logging
from math import isfinite

from common import clock
from common.context import SystemContext
from common.db.errors import is_unavailable
from common.ids import PLATFORM_TENANT, age_seconds
from common.metric_names import SIGN_UPS_AGE, SIGN_UPS_UNFINISHED
from common.metrics import Reading
from common.web.kernel import Kernel
from tenants.provisioning.queries import list_unfinished

log = logging.getLogger(__name__)

_EVERY_SECONDS = 5.0

_unfinished = Reading(SIGN_UPS_UNFINISHED)
_age = Reading(SIGN_UPS_AGE)


async def watch_sign_ups(kernel: Kernel) -> None:
    """Until cancelled."""
    while True:
        try:
            await look(kernel)
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("sign-ups not looked at", extra={"fields": {"error": type(error).__name__}})
        await asyncio.sleep(min(kernel.settings.metric_interval, _EVERY_SECONDS))


async def look(kernel: Kernel) -> None:
    """Measure once. A tenant's id tells when its sign-up began."""
    async with kernel.database.tenant(SystemContext(PLATFORM_TENANT, "job", kernel.service)) as session:
        unfinished = await list_unfinished(session)
    age = age_seconds(unfinished[0], clock.now()) if unfinished else 0.0
    _unfinished.note(len(unfinished))
    _age.note(age if isfinite(age) else 0.0)  # its clock may be ahead of ours
