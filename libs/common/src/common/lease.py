"""A claim that ends by itself, kept while the work it is for goes on."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from common.db.errors import is_unavailable

log = logging.getLogger(__name__)

Renew = Callable[[], Awaitable[bool]]
"""False when the claim is not ours any more."""


class LeaseLost(TimeoutError):
    """Somebody else may be at the work by now."""


@asynccontextmanager
async def kept(renew: Renew, every: float) -> AsyncGenerator[None]:
    """Renew a claim each `every` seconds inside the block.

    Raises:
        LeaseLost: it is not ours any more, or nobody can say; what the block was at has been cancelled.
    """
    loop, keeper = asyncio.get_running_loop(), asyncio.create_task(_keep(renew, every))
    block = asyncio.timeout(None)
    keeper.add_done_callback(lambda done: done.cancelled() or block.reschedule(loop.time()))
    try:
        async with block:
            try:
                yield
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
    except TimeoutError as error:
        if not block.expired():
            raise
        raise LeaseLost from keeper.exception() or error


async def _keep(renew: Renew, every: float) -> None:
    """Until the claim is lost."""
    while True:
        await asyncio.sleep(every)
        try:
            if not await renew():
                return
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("claim not renewed", extra={"fields": {"error": type(error).__name__}})
