"""Reads owned partitions and hands records to a processor; positions follow behind what is done."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from common import clock, metrics, pulse
from common.bus.brake import Brake
from common.bus.group import GroupPositions, group_of
from common.bus.holes import Holes
from common.bus.interruptions import INTERRUPTIONS, own_cancellation_only
from common.bus.kafka import Cluster, hold_fetches, pass_over_unread
from common.bus.offsets import Offsets, Progress
from common.bus.ownership import Ownership, connect_owner, heard
from common.bus.records import make_reader
from common.bus.stalls import Stalls
from common.contracts.envelope import PARTITIONS, Topic
from common.db.errors import DRIVER_ERRORS
from common.metric_names import CONSUMER_LAG_EVENTS, CONSUMER_LAG_TIME, CONSUMER_PARTITIONS
from common.settings import ServiceSettings

log = logging.getLogger(__name__)

SILENCE = 10.0
"""Seconds after which the database takes an owner of partitions that says nothing for dead."""
_UPKEEP_SECONDS = 0.5
_HAND_OVER_SECONDS = 4
_FETCH_TIMEOUT_MS = 200
_BUSY_SECONDS = 1.0
_BUSY_WAIT_MS = 50
"""How long a broker may hold a fetch within `_BUSY_SECONDS` of a record. Tansu holds it for half of that,
whatever arrives meanwhile; to ask so often costs too much where nothing happens."""
_HOLE_SECONDS = 0.01
_FULL_SECONDS = 0.05
_FETCH_RECORDS = 500
_FETCH_BYTES = 256 * 1024
_READ_AHEAD = 250
"""Deliveries of a partition that may be in flight whatever else is."""
READ_AHEAD_BYTES = 64 * 1024 * 1024
"""What may be in flight in all; beyond it no partition is read further (back-pressure). Who shares a
partition with somebody's long queue is reached as soon as the queue is in memory."""
_DELIVERY_BYTES = 2048
"""What a delivery takes in memory beside its record's value: some objects, key and headers."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record on its way through a processor."""

    record: ConsumerRecord[bytes, bytes]

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)

    @property
    def size(self) -> int:
        """About how many bytes it takes until it is done."""
        return len(self.record.value or b"") + _DELIVERY_BYTES


class Processor(Protocol):
    """Does the work. Calls `done` once per delivery, in any order, after its effects are committed."""

    async def take(self, deliveries: Sequence[Delivery], done: Callable[[Delivery], None]) -> None:
        """Accept deliveries (perhaps none). Raises whatever its own workers died of."""
        ...

    async def let_go(self, partitions: Collection[TopicPartition]) -> None:
        """Finish what has begun of these partitions and forget what has not: it will be delivered again."""
        ...

    async def abandon(self) -> None:
        """Stop at once; what was not done will be delivered again."""
        ...


def _owned(consumer: "Consumer") -> Iterator[tuple[float, metrics.Labels]]:
    yield len(consumer.progress()), {"app.consumer": consumer.name}


def _lag_events(consumer: "Consumer") -> Iterator[tuple[float, metrics.Labels]]:
    behind = sum(max(0, one.end - one.next_offset) for one in consumer.progress())
    yield behind, {"app.consumer": consumer.name}


def _lag_time(consumer: "Consumer") -> Iterator[tuple[float, metrics.Labels]]:
    now = clock.now().timestamp()
    since = [at / 1000 for one in consumer.progress() if (at := one.waiting_since()) is not None]
    yield max(0.0, now - min(since, default=now)), {"app.consumer": consumer.name}


_GAUGES = (
    metrics.Gauge(CONSUMER_PARTITIONS, _owned),
    metrics.Gauge(CONSUMER_LAG_EVENTS, _lag_events),
    metrics.Gauge(CONSUMER_LAG_TIME, _lag_time, max),
)


class Consumer:
    """One consumer (a name and its topics) in one process. `run` until cancelled."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        cluster: Cluster,
        topics: Sequence[Topic],
        processor: Processor,
        *,
        database_url: str | None = None,
        brake: Brake | None = None,
    ) -> None:
        """`brake`: pulled by the processor, checked here; None where the role of `database_url` may not look.

        `database_url`: whose connection holds locks and positions; by default the relay's role, so that SQL
        slipped into a request can neither end it nor move it.
        """
        self.name = name
        self._settings = settings
        self._cluster = cluster
        self._processor = processor
        self._brake = brake
        self._database_url = database_url or settings.relay_database_url
        self._partitions = [TopicPartition(t, p) for t in sorted(topics) for p in range(PARTITIONS)]
        self._offsets = Offsets(name)
        self._progress: dict[TopicPartition, Progress] = {}
        self._holes = Holes()
        self._busy_until = self._ahead_until = float("-inf")
        self.working = False
        self._pulse = pulse.Pulse(f"consumer {name}")
        for gauge in _GAUGES:
            gauge.watch(self)

    def progress(self) -> list[Progress]:
        """Of the partitions it owns; none while it is not at work."""
        return list(self._progress.values())

    async def run(self) -> None:
        with pulse.kept(self._pulse):
            await self._serve()

    async def _serve(self) -> None:
        delay = 0.1
        while True:
            try:
                async with own_cancellation_only():
                    await self._serve_term()
            except INTERRUPTIONS as error:
                fields = {"consumer": self.name, "error": type(error).__name__}
                log.warning("consumer interrupted", extra={"fields": fields})
            delay = 0.1 if self.working else min(delay * 2, 2.0)
            self.working = False
            self._pulse.beat()
            await asyncio.sleep(delay)

    async def _serve_term(self) -> None:
        """Own partitions until the database, the broker or the task goes away."""
        self._holes = Holes()
        # Nothing is taken while positions are stored. Lost ones are harmless: what is delivered again the
        # inbox drops, and after a crash of the server every owner has to begin anew.
        connection = await connect_owner(self._database_url, SILENCE, durable=False)
        try:
            cluster = await self._cluster.current_id()
            ownership = Ownership(self.name, self._partitions)
            await ownership.announce(connection)
            kafka = make_reader(
                bootstrap_servers=self._settings.kafka_bootstrap_servers,
                group_id=group_of(self.name),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=self._settings.kafka_fetch_wait_ms,
                max_partition_fetch_bytes=_FETCH_BYTES,
                request_timeout_ms=5000,
            )
            try:
                await kafka.start()
                positions, stalls = GroupPositions(kafka), Stalls(kafka)
                await self._hold_office(_Term(connection, kafka, positions, ownership, cluster, stalls))
            finally:
                await kafka.stop()
        finally:
            await connection.close(timeout=2)

    async def _hold_office(self, term: "_Term") -> None:
        try:
            await self._consume(term)
        except asyncio.CancelledError:
            await self._hand_over(term)
            raise
        finally:
            await self._processor.abandon()
            self._progress.clear()
            await term.stalls.close()
            await term.group.close()

    async def _consume(self, term: "_Term") -> None:
        loop = asyncio.get_running_loop()
        next_upkeep = loop.time()
        while True:
            if self._brake_is_on() or not any(one.in_flight for one in self._progress.values()):
                self._pulse.beat()
            if loop.time() >= next_upkeep:
                if not await self._is_stopped(term.connection):
                    await self._upkeep(term)
                    term.stalls.look(self._progress, _READ_AHEAD, loop.time())
                next_upkeep = loop.time() + _UPKEEP_SECONDS
            if self._brake_is_on() or not term.ownership.owned:
                await asyncio.sleep(_UPKEEP_SECONDS)
                continue
            deliveries = await self._fetch(term.kafka, loop.time())
            for delivery in deliveries:
                record = delivery.record
                self._progress[delivery.partition].started(record.offset, record.timestamp, delivery.size)
            async with heard(term.connection, SILENCE):
                await self._processor.take(deliveries, self._done)
            self.working = True

    async def _is_stopped(self, connection: asyncpg.Connection) -> bool:
        """Whether too many events died; partitions and positions then stay as they are."""
        if self._brake is not None:
            await self._brake.check(connection)
        return self._brake_is_on()

    def _brake_is_on(self) -> bool:
        return self._brake is not None and self._brake.is_on

    async def _fetch(self, kafka: Any, now: float) -> list[Delivery]:
        room = sum(one.held for one in self._progress.values()) < READ_AHEAD_BYTES
        ready = [tp for tp, one in self._progress.items() if room or len(one.in_flight) < _READ_AHEAD]
        if len(ready) < len(self._progress):
            self._ahead_until = now + _BUSY_SECONDS
        pass_over_unread(kafka, now < self._ahead_until)
        if not ready:
            await asyncio.sleep(_FULL_SECONDS)
            return []
        fetched = await kafka.getmany(*ready, timeout_ms=_FETCH_TIMEOUT_MS, max_records=_FETCH_RECORDS)
        self._set_pace(kafka, now, bool(fetched))
        deliveries: list[Delivery] = []
        for partition, records in fetched.items():
            progress = self._progress[partition]
            progress.end = max(progress.end, kafka.highwater(partition) or 0)
            expected = progress.fetched
            taken = self._holes.before(partition, expected, records, now)
            if len(taken) < len(records):
                kafka.seek(partition, taken[-1].offset + 1 if taken else expected)
                await asyncio.sleep(_HOLE_SECONDS)
            deliveries += (Delivery(record) for record in taken)
        return deliveries

    def _set_pace(self, kafka: AIOKafkaConsumer, now: float, found: bool) -> None:
        if found:
            self._busy_until = now + _BUSY_SECONDS
        wait = self._settings.kafka_fetch_wait_ms
        hold_fetches(kafka, min(wait, _BUSY_WAIT_MS) if now < self._busy_until else wait)

    def _done(self, delivery: Delivery) -> None:
        progress = self._progress.get(delivery.partition)
        if progress is not None:
            progress.finished(delivery.record.offset)
            self._pulse.beat()

    async def _upkeep(self, term: "_Term") -> None:
        """Store positions, notice a new log, take free partitions, give surplus ones away."""
        ownership = term.ownership
        await self._store(term)
        if await self._cluster.current_id() != term.cluster:
            raise KafkaError("the broker came back as another cluster")
        share = await ownership.share(term.connection)
        surplus = ownership.surplus(share)
        if surplus:
            async with heard(term.connection, SILENCE):
                await self._processor.let_go(surplus)
            await self._store(term)
            await ownership.release(term.connection, surplus)
            for partition in surplus:
                del self._progress[partition]
        gained = await ownership.claim(term.connection, share)
        for partition in gained:
            progress = await self._offsets.take_over(term.connection, partition, term.cluster)
            self._progress[partition] = progress
        if gained or surplus:
            self._assign(term)
            term.group.tell({partition: self._progress[partition].next_offset for partition in gained})

    def _assign(self, term: "_Term") -> None:
        term.kafka.assign(sorted(term.ownership.owned))
        for partition, progress in self._progress.items():
            term.kafka.seek(partition, progress.fetched)
        fields = {"consumer": self.name, "owned": len(term.ownership.owned)}
        log.info("partitions assigned", extra={"fields": fields})

    async def _store(self, term: "_Term") -> None:
        term.group.tell(await self._offsets.store(term.connection, self._progress))

    async def _hand_over(self, term: "_Term") -> None:
        """Finish what is in flight and store it, so that the next owner starts right behind."""
        try:
            async with asyncio.timeout(_HAND_OVER_SECONDS):
                await self._processor.let_go(self._progress.keys())
                await self._store(term)
                await term.group.flush()
        except (TimeoutError, OSError, *DRIVER_ERRORS) as error:
            fields = {"consumer": self.name, "error": type(error).__name__}
            log.warning("hand-over incomplete; the inbox drops what comes twice", extra={"fields": fields})


@dataclass(frozen=True, slots=True)
class _Term:
    """What one term in office works with."""

    connection: asyncpg.Connection
    kafka: AIOKafkaConsumer
    group: GroupPositions
    ownership: Ownership
    cluster: str
    stalls: Stalls
