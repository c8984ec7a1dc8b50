"""Measures how many sign-ups are unfinished, and for how long."""

from math import isfinite

from common import clock
from common.context import SystemContext
from common.ids import PLATFORM_TENANT, age_seconds
from common.metric_names import SIGN_UPS_AGE, SIGN_UPS_UNFINISHED
from common.metrics import Reading
from common.watching import watch
from common.web.kernel import Kernel
from tenants.provisioning.queries import list_unfinished

_unfinished = Reading(SIGN_UPS_UNFINISHED)
_age = Reading(SIGN_UPS_AGE)


async def watch_sign_ups(kernel: Kernel) -> None:
    """Worker: until cancelled."""
    await watch(kernel, look)


async def look(kernel: Kernel) -> None:
    """Measure once. A tenant's id tells when its sign-up began."""
    async with kernel.database.tenant(SystemContext(PLATFORM_TENANT, "job", kernel.service)) as session:
        unfinished = await list_unfinished(session)
    age = age_seconds(unfinished[0], clock.now()) if unfinished else 0.0
    _unfinished.note(len(unfinished))
    _age.note(age if isfinite(age) else 0.0)  # its clock may be ahead of ours
