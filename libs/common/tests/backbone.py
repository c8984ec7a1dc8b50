"""What tests of the event backbone share: events, a consumer of the test's own, and waiting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from common import clock
from common.bus import outbox
from common.bus.brake import Brake
from common.bus.consumer import Consumer
from common.bus.handling import Handling
from common.bus.kafka import Cluster
from common.bus.lanes import Lanes
from common.bus.projections import Handler
from common.context import SystemContext
from common.contracts.envelope import PARTITIONS, Envelope, Event, tenant_key
from common.contracts.workspaces import WorkspaceArchived, WorkspaceUpdated
from common.db.session import Database, TenantSession
from common.ids import new_id
from common.settings import ServiceSettings
from common.testing.databases import ServiceDatabase

TOPIC = "penguinmails.workspaces"
PLACES = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
_STAND = """
INSERT INTO tenancy.consumer_offsets AS o (consumer, topic, partition, cluster_id, next_offset, epoch)
VALUES ($1, $2, $3, $4, $5, 1)
ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""
Databases = Callable[[str], Awaitable[ServiceDatabase]]


@asynccontextmanager
async def running(*loops: Awaitable[None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run the loops; a failure of one of them fails the test."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield tasks  # type: ignore[misc]
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(check: Callable[[], Awaitable[bool]], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def write(database: Database, tenant: UUID, *events: Event) -> None:
    async with database.tenant(SystemContext(tenant, "job", "workspaces")) as session:
        for event in events:
            await outbox.emit(session, event)
        await session.commit()


def update(tenant: UUID, workspace: UUID, version: int) -> WorkspaceUpdated:
    return WorkspaceUpdated(
        tenant_id=tenant, workspace_id=workspace, version=version, name=f"v{version}", slug="s"
    )


@asynccontextmanager
async def reading(settings: ServiceSettings) -> AsyncIterator[Any]:
    """A consumer of the whole topic, at its beginning."""
    reader: Any = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, fetch_max_wait_ms=50, auto_offset_reset="earliest"
    )
    await reader.start()
    try:
        reader.assign(PLACES)
        for place in PLACES:
            reader.seek(place, 0)
        yield reader
    finally:
        await reader.stop()


async def published(settings: ServiceSettings, tenant: UUID, count: int) -> list[Envelope]:
    """The tenant's envelopes in the broker's order, once there are `count` of them."""
    found: list[Envelope] = []
    async with reading(settings) as reader, asyncio.timeout(20):
        while len(found) < count:
            for records in (await reader.getmany(timeout_ms=200)).values():
                own = [record for record in records if record.key == tenant_key(tenant).encode()]
                found += [Envelope.from_kafka(r.headers, r.key, r.value) for r in own]
    return found


async def ends(settings: ServiceSettings) -> dict[TopicPartition, int]:
    """Where the topic's log ends now, read to there: Tansu names the beginning of the last batch."""
    async with reading(settings) as reader:
        for place, offset in (await reader.end_offsets(PLACES)).items():
            reader.seek(place, offset)
        while await reader.getmany(timeout_ms=50) or not await _at_end(reader):
            pass
        return {place: await reader.position(place) for place in PLACES}


async def _at_end(reader: Any) -> bool:
    marks = [(reader.highwater(place), await reader.position(place)) for place in PLACES]
    return all(mark is not None and position >= mark for mark, position in marks)


async def stand_at(
    settings: ServiceSettings, consumer: str, cluster: str, positions: Mapping[TopicPartition, int]
) -> None:
    """Have the consumer, when it runs, go on from there."""
    connection = await asyncpg.connect(settings.relay_database_url)
    try:
        rows = [(consumer, place.topic, place.partition, cluster, at) for place, at in positions.items()]
        await connection.executemany(_STAND, rows)
    finally:
        await connection.close()


class Recorder:
    """A handler that records what it was given and fails as told."""

    def __init__(self) -> None:
        self.effects: list[tuple[UUID, int]] = []
        self.failures: dict[tuple[UUID, int], list[Exception]] = {}

    async def handle(self, session: TenantSession, event: WorkspaceUpdated) -> None:
        failures = self.failures.get((event.workspace_id, event.version))
        if failures:
            raise failures.pop(0)
        self.effects.append((event.workspace_id, event.version))


class Handled:
    """A consumer of the test's own over a recorder."""

    def __init__(self, database: Database, settings: ServiceSettings, cluster: Cluster) -> None:
        self.name = f"test-{new_id().hex}"
        self.recorder = Recorder()
        self.handlers: dict[type[Event], Handler] = {WorkspaceUpdated: self.recorder.handle}
        self._parts = (database, settings, cluster)

    def handling(self) -> Handling:
        return Handling(self.name, self._parts[0], self.handlers)

    def consumer(self, limit: int = 100) -> Consumer:
        database, settings, cluster = self._parts
        brake = Brake(self.name, limit)
        lanes = Lanes(self.name, database, self.handlers, brake)
        return Consumer(self.name, settings, cluster, [TOPIC], lanes, brake=brake)

    def effects_of(self, workspace: UUID) -> list[int]:
        return [version for known, version in self.recorder.effects if known == workspace]


async def send(settings: ServiceSettings, *envelopes: Envelope) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    await producer.start()
    try:
        sent = [await producer.send(TOPIC, one.data, key=one.key, headers=one.headers()) for one in envelopes]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def wrap(event: WorkspaceUpdated | WorkspaceArchived, **changes: Any) -> Envelope:
    fields: dict[str, Any] = {
        "event_id": new_id(),
        "source": "workspaces",
        "type": event.ce_type(),
        "time": clock.now(),
        "subject": event.subject,
        "tenant_id": event.tenant_id,
        "sequence": 1,
        "data": event.model_dump_json().encode(),
        **changes,
    }
    return Envelope(**fields)
