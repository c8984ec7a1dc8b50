"""The loop of workers that measure."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from common.db.errors import is_unavailable
from common.web.kernel import Kernel

log = logging.getLogger(__name__)

_EVERY_SECONDS = 5.0


async def watch(kernel: Kernel, look: Callable[[Kernel], Awaitable[None]]) -> None:
    """Measure again and again, until cancelled; what cannot be measured now may be later."""
    while True:
        try:
            await look(kernel)
        except Exception as error:
            if not is_unavailable(error):
                raise
            fields = {"what": look.__module__, "error": type(error).__name__}
            log.warning("not measured", extra={"fields": fields})
        await asyncio.sleep(min(kernel.settings.metric_interval, _EVERY_SECONDS))
