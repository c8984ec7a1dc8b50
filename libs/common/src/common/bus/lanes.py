"""Handlers run in lanes: one per tenant, one transaction in flight each, taken in turn.

Events that wait in one lane are handled together, as many as take fifty milliseconds: a consumer that has
fallen behind then spends its time on handlers, and not on entering and committing. When one of them fails,
nothing has happened, and the first goes alone.

A tenant with thousands of events waiting therefore delays another tenant's single event by at most one
round of handlers, never by its own queue, as far as the consumer holds that in memory.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import NAMESPACE_OID, UUID, uuid5

from aiokafka import TopicPartition

from common import clock, metrics, pulse
from common.bus.brake import Brake
from common.bus.consumer import Delivery
from common.bus.errors import Invalid, Transient
from common.bus.group import group_of
from common.bus.handling import UNREADABLE, Handling
from common.bus.projections import Handler
from common.contracts.envelope import Envelope, Event, InvalidEvent
from common.db.errors import is_unavailable
from common.db.session import Database
from common.ids import PLATFORM_TENANT
from common.metric_names import CONSUMED_MESSAGES, PROCESS_DURATION

log = logging.getLogger(__name__)

WORKERS = 8
ATTEMPTS = 5
RUN = 32
"""The most events that are handled together."""
_RUN_SECONDS = 0.05
_RETRY_SECONDS = (0.05, 5.0)

Done = Callable[[Delivery], None]
"""Called when a delivery's effects are committed."""
_Waiting = tuple[Delivery, Envelope, Done]


_duration = metrics.histogram(PROCESS_DURATION)
_consumed = metrics.counter(CONSUMED_MESSAGES)


class _Pace:
    """How many events to handle together, by how long the last ones took."""

    def __init__(self) -> None:
        self._seconds = _RUN_SECONDS

    def length(self) -> int:
        return max(1, min(RUN, int(_RUN_SECONDS / self._seconds)))

    def note(self, events: int, seconds: float) -> None:
        """A handler slower than that goes alone from its first event on; a moment's delay changes little."""
        self._seconds = max(0.7 * self._seconds + 0.3 * seconds / events, 1e-4)

    def begin_again(self) -> None:
        self._seconds = _RUN_SECONDS


class Lanes:
    """Processor that runs a service's HANDLERS (and the kernel's projections before them)."""

    def __init__(
        self,
        service: str,
        database: Database,
        handlers: Mapping[type[Event], Handler],
        brake: Brake | None = None,
    ) -> None:
        self._handling = Handling(service, database, handlers)
        self._brake = brake or Brake(service)
        self._labels = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.consumer.group.name": group_of(service),
        }
        _consumed.add(0, self._labels)
        self._lanes: dict[UUID, deque[_Waiting]] = {}
        self._turns: asyncio.Queue[UUID] = asyncio.Queue()
        self._busy: list[TopicPartition] = []
        self._leaving: set[TopicPartition] = set()
        self._pace = _Pace()
        self._moved = asyncio.Condition()
        self._workers: set[asyncio.Task[None]] = set()

    async def take(self, deliveries: Sequence[Delivery], done: Done) -> None:
        self._staff()
        for delivery in deliveries:
            record = delivery.record
            try:
                envelope = Envelope.from_kafka(record.headers, record.key, record.value)
            except InvalidEvent as error:
                envelope = _unreadable(delivery)
                log.error("unreadable record", extra={"fields": {"topic": record.topic, "error": str(error)}})
            if self._handling.concerns(envelope):
                self._enqueue(delivery, envelope, done)
            else:
                done(delivery)

    async def let_go(self, partitions: Collection[TopicPartition]) -> None:
        gone = set(partitions)
        for lane in self._lanes.values():
            kept = [waiting for waiting in lane if waiting[0].partition not in gone]
            lane.clear()
            lane.extend(kept)
        self._leaving |= gone
        try:
            async with self._moved:
                await self._moved.wait_for(lambda: gone.isdisjoint(self._busy))
        finally:
            self._leaving -= gone

    async def abandon(self) -> None:
        for task in self._workers:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()
        self._lanes.clear()
        self._turns = asyncio.Queue()
        self._busy.clear()

    def _staff(self) -> None:
        """Start the workers; one that ended has met a bug of the lanes themselves, which must not hide."""
        for task in [task for task in self._workers if task.done()]:
            self._workers.discard(task)
            task.result()
        while len(self._workers) < WORKERS:
            self._workers.add(asyncio.create_task(self._work()))

    def _enqueue(self, delivery: Delivery, envelope: Envelope, done: Done) -> None:
        lane = self._lanes.get(envelope.tenant_id)
        if lane is None:
            lane = self._lanes[envelope.tenant_id] = deque[_Waiting]()
            self._turns.put_nowait(envelope.tenant_id)
        lane.append((delivery, envelope, done))

    async def _work(self) -> None:
        while True:
            tenant_id = await self._turns.get()
            await self._brake.released()
            lane = self._lanes[tenant_id]
            if lane:  # else it was let go
                await self._serve(lane)
            if lane:
                self._turns.put_nowait(tenant_id)
            else:
                del self._lanes[tenant_id]

    async def _serve(self, lane: deque[_Waiting]) -> None:
        """Handle events from the lane's front: together, or else the first of them alone."""
        run = [lane.popleft() for _ in range(min(len(lane), self._pace.length()))]
        busy = [delivery.partition for delivery, _, _ in run]
        self._busy += busy
        began = asyncio.get_running_loop().time()
        if len(run) > 1 and not await self._handle_together(run):
            run = self._put_back(lane, run)
        if len(run) == 1:
            delivery, envelope, _ = run[0]
            await self._handle(delivery.record.topic, envelope)
        seconds = asyncio.get_running_loop().time() - began
        self._pace.note(len(run), seconds)
        _duration.record(seconds, self._labels)
        _consumed.add(len(run), self._labels)
        for delivery, _, done in run:
            done(delivery)
        for partition in busy:
            self._busy.remove(partition)
        async with self._moved:
            self._moved.notify_all()

    def _put_back(self, lane: deque[_Waiting], run: list[_Waiting]) -> list[_Waiting]:
        """All but the first wait again, unless they are being let go; the next go alone as well."""
        lane.extendleft(one for one in reversed(run[1:]) if one[0].partition not in self._leaving)
        self._pace.begin_again()
        return run[:1]

    async def _handle_together(self, run: Sequence[_Waiting]) -> bool:
        """Whether that was possible; otherwise nothing has happened."""
        try:
            await self._handling.apply_run(
                [(delivery.record.topic, envelope) for delivery, envelope, _ in run]
            )
        except Exception as error:
            fields = {"events": len(run), "error": type(error).__name__}
            log.info("events not handled together", extra={"fields": fields}, exc_info=error)
            return False
        return True

    async def _handle(self, topic: str, envelope: Envelope) -> None:
        """Apply the event, whatever it takes: returns only when it is applied or dead."""
        attempts, delay = 0, _RETRY_SECONDS[0]
        while True:
            try:
                await self._handling.apply(topic, envelope)
                return
            except Exception as error:
                pulse.beat()
                if isinstance(error, Invalid | InvalidEvent):
                    attempts = ATTEMPTS
                elif not (isinstance(error, Transient) or is_unavailable(error)):
                    attempts += 1
                fields = {"event": envelope.type, "error": type(error).__name__, "attempts": attempts}
                log.warning("event not handled", extra={"fields": fields}, exc_info=error)
                if attempts >= ATTEMPTS and await self._bury(topic, envelope, error, attempts):
                    return
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_SECONDS[1])

    async def _bury(self, topic: str, envelope: Envelope, error: Exception, attempts: int) -> bool:
        """Whether the event could be buried, as it came or else by a stand-in; False: try again."""
        for letter in (envelope, _stand_in(envelope)):
            try:
                fresh = await self._handling.bury(topic, letter, error, attempts)
            except Exception as failure:
                if is_unavailable(failure):
                    return False
                fields = {"event": letter.type, "error": type(failure).__name__}
                log.exception("dead letter not kept", extra={"fields": fields})
                continue
            if fresh:
                self._brake.note_burial()
            return True
        return False


def _unreadable(delivery: Delivery) -> Envelope:
    """A stand-in of the platform's tenant for a record that is no event; its id is that of its place."""
    record = delivery.record
    place = uuid5(NAMESPACE_OID, f"{record.topic}/{record.partition}/{record.offset}")
    return _nameless(place, record.value or b"")


def _stand_in(envelope: Envelope) -> Envelope:
    """The same for an event that cannot be kept as it is."""
    return _nameless(uuid5(NAMESPACE_OID, f"{envelope.type}/{envelope.event_id}"), envelope.data)


def _nameless(event_id: UUID, data: bytes) -> Envelope:
    return Envelope(event_id, "unknown", UNREADABLE, clock.now(), "", PLATFORM_TENANT, 0, data)
