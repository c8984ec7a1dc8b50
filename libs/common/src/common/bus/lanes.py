"""Handlers run in lanes: one per tenant, one event in flight each, taken in turn.

A tenant with thousands of events waiting therefore delays another tenant's single event by at most one
round of handlers, never by its own queue. (The consumer reads ahead a bounded number of events per partition:
tenants that share the partition also share what is left of it.)
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import NAMESPACE_OID, UUID, uuid5

from aiokafka import TopicPartition
from opentelemetry.trace import SpanKind

from common import clock, telemetry
from common.bus import inbox, outbox
from common.bus.consumer import Delivery
from common.bus.errors import Invalid, Transient
from common.bus.projections import PROJECTIONS, Handler
from common.context import SystemContext
from common.contracts.envelope import Envelope, Event, InvalidEvent, tenant_key
from common.db.dead_letters import bury
from common.db.errors import is_unavailable
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, to_text

log = logging.getLogger(__name__)

WORKERS = 8
ATTEMPTS = 5
UNREADABLE = "penguinmails.unreadable"
_RETRY_SECONDS = (0.05, 5.0)

Done = Callable[[Delivery], None]
"""Called when a delivery's effects are committed."""


class Lanes:
    """Processor that runs a service's HANDLERS (and the kernel's projections before them)."""

    def __init__(self, service: str, database: Database, handlers: Mapping[type[Event], Handler]) -> None:
        self._service = service
        self._database = database
        self._handlers = handlers
        self._types = {cls.ce_type() for cls in (*handlers, *PROJECTIONS)}
        self._lanes: dict[UUID, deque[tuple[Delivery, Envelope, Done]]] = {}
        self._turns: asyncio.Queue[UUID] = asyncio.Queue()
        self._busy: list[TopicPartition] = []
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
            if envelope.type in self._types or envelope.type == UNREADABLE:
                self._enqueue(delivery, envelope, done)
            else:
                done(delivery)

    async def let_go(self, partitions: Collection[TopicPartition]) -> None:
        gone = set(partitions)
        for lane in self._lanes.values():
            kept = [waiting for waiting in lane if waiting[0].partition not in gone]
            lane.clear()
            lane.extend(kept)
        async with self._moved:
            await self._moved.wait_for(lambda: gone.isdisjoint(self._busy))

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
            lane = self._lanes[envelope.tenant_id] = deque[tuple[Delivery, Envelope, Done]]()
            self._turns.put_nowait(envelope.tenant_id)
        lane.append((delivery, envelope, done))

    async def _work(self) -> None:
        while True:
            tenant_id = await self._turns.get()
            lane = self._lanes[tenant_id]
            if lane:  # else it was let go
                await self._serve(*lane.popleft())
            if lane:
                self._turns.put_nowait(tenant_id)
            else:
                del self._lanes[tenant_id]

    async def _serve(self, delivery: Delivery, envelope: Envelope, done: Done) -> None:
        self._busy.append(delivery.partition)
        await self._handle(delivery.record.topic, envelope)
        done(delivery)
        self._busy.remove(delivery.partition)
        async with self._moved:
            self._moved.notify_all()

    async def _handle(self, topic: str, envelope: Envelope) -> None:
        """Apply the event, whatever it takes: returns only when it is applied or dead."""
        attempts, delay = 0, _RETRY_SECONDS[0]
        while True:
            try:
                await self._apply(topic, envelope)
                return
            except Exception as error:
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

    async def _apply(self, topic: str, envelope: Envelope) -> None:
        if envelope.type == UNREADABLE:
            raise Invalid("the record is not an event")
        event = envelope.event()
        if event is None or type(event) not in {*self._handlers, *PROJECTIONS}:
            return
        if getattr(event, "tenant_id", None) != envelope.tenant_id:
            raise Invalid("payload and envelope name different tenants")
        telemetry.log_fields.set({"tenant_id": tenant_key(envelope.tenant_id)})
        with telemetry.span(
            f"process {topic}",
            SpanKind.CONSUMER,
            telemetry.remote_context(envelope.traceparent, envelope.tracestate),
            messaging__system="kafka",
            messaging__operation__name="process",
            messaging__destination__name=topic,
            app__event__type=envelope.type,
            app__tenant__id=tenant_key(envelope.tenant_id),
        ):
            await self._commit_effects(envelope, event)

    async def _commit_effects(self, envelope: Envelope, event: Event) -> None:
        async with self._database.tenant(self._context(envelope)) as session:
            if not await inbox.claim(session, self._service, envelope.event_id):
                return
            for table in (PROJECTIONS, self._handlers):
                handler = table.get(type(event))
                if handler is not None:
                    await handler(session, event)
            await session.commit()

    def _context(self, envelope: Envelope) -> SystemContext:
        cause = to_text(Kind.EVENT, envelope.event_id)
        return SystemContext(envelope.tenant_id, "event", self._service, cause_id=cause)

    async def _bury(self, topic: str, envelope: Envelope, error: Exception, attempts: int) -> bool:
        """Keep the event as a dead letter, in the database and on the dead-letter topic."""
        try:
            async with self._database.tenant(self._context(envelope)) as session:
                if await bury(session, self._service, topic, envelope, type(error).__name__, attempts):
                    await outbox.emit_dead_letter(session, topic, envelope)
                await session.commit()
        except Exception as failure:
            if is_unavailable(failure):
                return False
            raise
        return True


def _unreadable(delivery: Delivery) -> Envelope:
    """A stand-in of the platform's tenant for a record that is no event; its id is that of its place."""
    record = delivery.record
    place = uuid5(NAMESPACE_OID, f"{record.topic}/{record.partition}/{record.offset}")
    return Envelope(place, "unknown", UNREADABLE, clock.now(), "", PLATFORM_TENANT, 0, record.value or b"")
