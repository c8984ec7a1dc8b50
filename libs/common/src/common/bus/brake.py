"""Stops a consumer whose events die in numbers: a bug then costs a pause, not a heap of dead letters.

The stop stands in the database, so that every replica keeps still and readiness can tell. One that is started
keeps still, too: it may have been added because events wait. An operator ends it by retrying or dropping
dead letters.
"""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Iterator

import asyncpg

from common import metrics
from common.metric_names import CONSUMER_STOPPED, EVENTS_BURIED

log = logging.getLogger(__name__)

_WINDOW_SECONDS = 60.0
_RELEASE = "DELETE FROM tenancy.stopped_consumers WHERE consumer = $1"
_STOP = """
INSERT INTO tenancy.stopped_consumers (consumer, dead_letters) VALUES ($1, $2)
ON CONFLICT (consumer) DO NOTHING
"""
_STOPPED = "SELECT EXISTS (SELECT FROM tenancy.stopped_consumers WHERE consumer = $1)"


_buried = metrics.counter(EVENTS_BURIED)


def _is_stopped(brake: "Brake") -> Iterator[tuple[float, metrics.Labels]]:
    yield int(brake.is_on), {"app.consumer": brake.consumer}


_stops = metrics.Gauge(CONSUMER_STOPPED, _is_stopped, max)


class Brake:
    """The brake of one consumer in one process. More than `limit` burials in a minute pull it."""

    def __init__(self, consumer: str, limit: int = sys.maxsize) -> None:
        self.consumer = consumer
        self._limit = limit
        self._burials: deque[float] = deque()
        self._pulled = False
        self._free = asyncio.Event()
        self._free.set()
        _buried.add(0, {"app.consumer": consumer})
        _stops.watch(self)

    @property
    def is_on(self) -> bool:
        return not self._free.is_set()

    async def released(self) -> None:
        """Return when the consumer may work."""
        await self._free.wait()

    def note_burial(self) -> None:
        """Count a dead letter; pulls the brake at once when there are too many."""
        now = asyncio.get_running_loop().time()
        self._burials.append(now)
        _buried.add(1, {"app.consumer": self.consumer})
        while now - self._burials[0] > _WINDOW_SECONDS:
            self._burials.popleft()
        if len(self._burials) > self._limit and not self.is_on:
            self._pulled = True
            self._free.clear()

    async def check(self, connection: asyncpg.Connection) -> None:
        """Tell others of our stop, and notice theirs and its end."""
        if self._pulled:
            await connection.execute(_STOP, self.consumer, len(self._burials))
            self._pulled = False
            self._tell()
        if await connection.fetchval(_STOPPED, self.consumer):
            self._free.clear()
        elif self.is_on:
            self._burials.clear()
            self._free.set()
            log.info("consumer goes on", extra={"fields": {"consumer": self.consumer}})

    def _tell(self) -> None:
        log.error(
            "consumer stopped: too many dead letters. Mend the cause, then `penguinmails events dlq retry` "
            "or `dlq drop`",
            extra={"fields": {"consumer": self.consumer, "dead_letters": len(self._burials)}},
        )


async def release(connection: asyncpg.Connection, consumer: str) -> None:
    """End the consumer's stop, if it was stopped; its replicas notice within a second."""
    await connection.execute(_RELEASE, consumer)
