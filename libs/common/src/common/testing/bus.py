"""A consumer of a test's own, and what to feed it with: the tests of the event backbone share it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer

from common import clock
from common.bus.consumer import Consumer
from common.bus.kafka import Cluster
from common.bus.lanes import Lanes
from common.bus.projections import Handler
from common.contracts.envelope import Envelope, Event
from common.contracts.workspaces import WorkspaceArchived, WorkspaceUpdated
from common.db.session import Database, TenantSession
from common.ids import new_id
from common.settings import ServiceSettings

TOPIC = "penguinmails.workspaces"


@asynccontextmanager
async def running(*loops: Awaitable[None]) -> AsyncGenerator[list[asyncio.Task[None]]]:
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
        self._parts = (database, settings, cluster)

    def consumer(self) -> Consumer:
        database, settings, cluster = self._parts
        handlers: dict[type[Event], Handler] = {WorkspaceUpdated: self.recorder.handle}
        lanes = Lanes(self.name, database, handlers)
        return Consumer(self.name, settings, cluster, [TOPIC], lanes)

    def effects_of(self, workspace: UUID) -> list[int]:
        return [version for known, version in self.recorder.effects if known == workspace]


def update(tenant: UUID, workspace: UUID, version: int) -> WorkspaceUpdated:
    return WorkspaceUpdated(
        tenant_id=tenant, workspace_id=workspace, version=version, name=f"v{version}", slug="s"
    )


async def send(settings: ServiceSettings, *envelopes: Envelope) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    await producer.start()
    try:
        for envelope in envelopes:
            await producer.send_and_wait(TOPIC, envelope.data, key=envelope.key, headers=envelope.headers())
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
