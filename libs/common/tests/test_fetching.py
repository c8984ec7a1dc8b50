"""How long events wait for a consumer's fetch."""

import asyncio
from functools import partial
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from libs.common.tests.backbone import Handled, ends, running, send, stand_at, until, update, wrap, write
from tests.faults.bus.ledger import place

from common.bus import consumer as consumer_module
from common.bus import kafka, stalls
from common.bus import relay as relay_module
from common.bus.consumer import Consumer
from common.bus.kafka import Cluster
from common.bus.ownership import connect_owner
from common.bus.records import make_reader
from common.bus.relay import Relay
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import Database, TenantSession
from common.ids import new_id
from common.settings import ServiceSettings


async def test_events_that_follow_one_another_do_not_wait_for_a_fetch_that_is_held(
    database: Database, settings: ServiceSettings, cluster: Cluster
) -> None:
    """Tansu holds a fetch of two seconds for one, whatever arrives meanwhile."""
    handled = Handled(database, settings.model_copy(update={"kafka_fetch_wait_ms": 2000}), cluster)
    tenant, workspace = new_id(), new_id()
    relay = Relay("workspaces", settings, cluster, database.events_written)

    async def follow(version: int) -> None:
        await write(database, tenant, update(tenant, workspace, version))

        async def arrived() -> bool:
            return version in handled.effects_of(workspace)

        await until(arrived)

    async with running(relay.run(), handled.consumer().run()):
        for version in (1, 2):
            await follow(version)
        began = asyncio.get_running_loop().time()
        for version in range(3, 9):
            await follow(version)
        assert asyncio.get_running_loop().time() - began < 4


async def test_storing_positions_does_not_wait_for_the_disk(
    settings: ServiceSettings, cluster: Cluster, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the consumer from taking records; the relay's numbers must be on disk before they are sent."""
    found: list[bool] = []
    chosen = "SELECT setting = 'off' AND source = 'client' FROM pg_settings WHERE name = 'synchronous_commit'"

    async def connect(url: str, silence: float, **options: bool) -> asyncpg.Connection:
        connection = await connect_owner(url, silence, **options)
        found.append(await connection.fetchval(chosen))
        return connection

    relay = Relay("workspaces", settings, cluster, database.events_written)
    consumer = Handled(database, settings, cluster).consumer()
    for module, role in ((relay_module, relay), (consumer_module, consumer)):
        monkeypatch.setattr(module, "connect_owner", connect)
        async with running(role.run()):
            await until(partial(_works, role))
    assert found == [False, True]


async def _works(role: Relay | Consumer) -> bool:
    return role.active if isinstance(role, Relay) else role.working


async def test_a_partition_that_is_not_read_holds_nobody_up(
    database: Database, settings: ServiceSettings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver waits with fetches until what it has fetched is read; here for longer than the test does."""
    monkeypatch.setitem(Fetcher.__init__.__kwdefaults__, "prefetch_backoff", 60.0)
    monkeypatch.setattr(kafka, "_UNREAD_SECONDS", 60.0)
    monkeypatch.setattr(consumer_module, "READ_AHEAD_BYTES", 0)
    handled = Handled(database, settings, cluster)
    hot, workspace = new_id(), new_id()
    other = next(tenant for tenant in iter(new_id, None) if place(tenant) != place(hot))
    stuck = asyncio.Event()

    async def stick(session: TenantSession, event: WorkspaceUpdated) -> None:
        if event.tenant_id == hot:
            await stuck.wait()
        await handled.recorder.handle(session, event)

    handled.handlers[WorkspaceUpdated] = stick
    consumer = handled.consumer()

    async def reads_no_further() -> bool:
        return sum(len(progress.in_flight) for progress in consumer.progress()) >= 250

    async def handle(version: int) -> None:
        await send(settings, wrap(update(other, workspace, version)))

        async def arrived() -> bool:
            return version in handled.effects_of(workspace)

        await until(arrived)

    async with running(consumer.run()):
        await send(settings, *(wrap(update(hot, new_id(), 1)) for _ in range(300)))
        await until(reads_no_further)
        for version in range(1, 5):
            await send(settings, wrap(update(hot, new_id(), 1)))
            await handle(version)
        stuck.set()


async def test_a_partition_that_the_driver_forgets_is_read_by_another(
    database: Database, settings: ServiceSettings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records would wait for ever, and nothing would tell: no lag is heard of what is not fetched."""
    drivers: list[AIOKafkaConsumer] = []

    def make_forgetful(**options: Any) -> AIOKafkaConsumer:
        """The first of them fetches nothing."""
        drivers.append(driver := make_reader(**options))
        if len(drivers) == 1:
            assign = driver.assign

            def assign_and_forget(partitions: list[TopicPartition]) -> None:
                assign(partitions)
                driver.pause(*partitions)

            monkeypatch.setattr(driver, "assign", assign_and_forget)
        return driver

    monkeypatch.setattr(consumer_module, "make_reader", make_forgetful)
    monkeypatch.setattr(stalls, "PATIENCE", 0.5)
    monkeypatch.setattr(stalls, "ASK_SECONDS", 0.2)
    handled = Handled(database, settings, cluster)
    tenant, workspace = new_id(), new_id()

    async def arrived() -> bool:
        return handled.effects_of(workspace) == [1]

    await stand_at(settings, handled.name, await cluster.current_id(), await ends(settings))
    async with running(handled.consumer().run()):
        await send(settings, wrap(update(tenant, workspace, 1)))
        await until(arrived)
    assert len(drivers) == 2
