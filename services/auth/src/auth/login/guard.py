"""What binds every log-in, whoever logs in: back-off after failures, a grid of time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from auth.login.errors import InvalidCredentials
from auth.parts import AuthParts
from common import metrics
from common.errors import TooManyRequests
from common.metric_names import LOGINS_REFUSED
from common.networks import network_of

_FAILED = {"app.reason": "failed"}
_THROTTLED = {"app.reason": "throttled"}
_refused = metrics.counter(LOGINS_REFUSED, _FAILED, _THROTTLED)


@asynccontextmanager
async def guarded(parts: AuthParts, name: str, ip: str) -> AsyncGenerator[None]:
    """One attempt at a time under `name`; a failure makes the next one, and the next from the address, wait.

    Raises:
        TooManyRequests: it comes too early.
    """
    began, source = asyncio.get_running_loop().time(), network_of(ip)
    async with parts.turns.of(name):
        try:
            async with _counted(parts, name, source):
                yield
        except InvalidCredentials:
            await _wait_for_grid(began, parts.settings.login_failure_grid)
            raise


@asynccontextmanager
async def _counted(parts: AuthParts, name: str, source: str) -> AsyncGenerator[None]:
    """An attempt that is under way until its failure, if it is one, has been noted."""
    async with AsyncExitStack() as attempts:
        try:
            await attempts.enter_async_context(parts.ip_throttle.attempt(source))
            await attempts.enter_async_context(parts.address_throttle.attempt(name))
        except TooManyRequests:
            _refused.add(1, _THROTTLED)
            raise
        try:
            yield
        except InvalidCredentials:
            _refused.add(1, _FAILED)
            await parts.address_throttle.note_failure(name)
            await parts.ip_throttle.note_failure(source)
            raise


async def _wait_for_grid(began: float, grid: float) -> None:
    """Wait until a whole multiple of `grid` seconds has passed."""
    if grid > 0:
        await asyncio.sleep(grid - (asyncio.get_running_loop().time() - began) % grid)
