"""Work for many tenants, a few at a time: the loop of every worker that empties a queue.

A worker says which tenants have something due (longest first) and how one attempt for a tenant goes; it
claims and commits before it talks to anybody outside, and settles afterwards. As long as nothing is due it
looks more rarely, and at once when this process has committed an event: with it comes what is due.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from common import telemetry
from common.context import SystemContext
from common.db.errors import is_unavailable
from common.db.session import Database, TenantSession
from common.ids import PLATFORM_TENANT, Kind, to_text

log = logging.getLogger(__name__)

ListDue = Callable[[TenantSession, int], Awaitable[Sequence[UUID]]]
"""At most so many tenants with something due, in a context of the platform's tenant."""
Attempt = Callable[[UUID], Awaitable[None]]
"""One attempt for one tenant. What it raises is logged; its claim runs out and it comes again."""


@dataclass
class Rounds:
    """Attempts under way for one kind of work; times in seconds."""

    what: str
    service: str
    database: Database
    list_due: ListDue
    attempt: Attempt
    at_a_time: int
    poll: float = 0.2
    idle_poll: float = 0.5
    farewell: float = 6.0
    _under_way: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _paused_until: float = 0.0

    def __post_init__(self) -> None:
        self._stirred = self.database.listen()

    async def run(self) -> None:
        """Until cancelled; then what is under way is finished, within `farewell`."""
        try:
            while True:
                await self.step()
        finally:
            await self.finish()

    async def step(self) -> None:
        """Start on the tenants that have waited longest; returns when it is time to look again."""
        room = self.at_a_time - len(self._under_way)
        due = room > 0 and asyncio.get_running_loop().time() >= self._paused_until
        self._stirred.clear()
        for tenant_id in await self._list_due(room) if due else ():
            task = asyncio.create_task(self._try(tenant_id))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self.poll, return_when=asyncio.FIRST_COMPLETED)
        else:
            await self._rest()

    async def _rest(self) -> None:
        await asyncio.sleep(self.poll)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self.idle_poll - self.poll, 0)):
                await self._stirred.wait()

    def pause(self, seconds: float) -> None:
        """Start nothing new for a while: the system outside is away."""
        self._paused_until = asyncio.get_running_loop().time() + seconds

    async def finish(self) -> None:
        """Wait for what is under way, within bounds."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=self.farewell)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _list_due(self, most: int) -> Sequence[UUID]:
        try:
            context = SystemContext(PLATFORM_TENANT, "job", self.service)
            async with self.database.tenant(context) as session:
                return await self.list_due(session, most)
        except Exception as error:
            if not is_unavailable(error):
                raise
            fields = {"work": self.what, "error": type(error).__name__}
            log.warning("what is due could not be read", extra={"fields": fields})
            return ()

    async def _try(self, tenant_id: UUID) -> None:
        name = to_text(Kind.TENANT, tenant_id)
        telemetry.log_fields.set({"tenant_id": name})
        try:
            with telemetry.span(f"work {self.what}", app__tenant__id=name):
                await self.attempt(tenant_id)
        except Exception as error:
            fields = {"work": self.what, "error": type(error).__name__}
            if is_unavailable(error):
                log.warning("attempt put off", extra={"fields": fields})
            else:
                log.exception("attempt failed", extra={"fields": fields})
