"""Whose turn it is, and how a consumer leaves: neither can be seen in what was handled."""

import asyncio
from collections import Counter
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from aiokafka.structs import ConsumerRecord
from libs.common.tests.backbone import PLACES, TOPIC, Handled, running, send, stand_at, until, update, wrap
from libs.common.tests.backbone import ends as ends_of
from tests.faults.bus.ledger import place

from common.bus import consumer as consumer_module
from common.bus.consumer import Delivery
from common.bus.kafka import Cluster
from common.bus.lanes import RUN, WORKERS, Lanes
from common.contracts.envelope import tenant_key
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import Database, TenantSession
from common.ids import new_id
from common.settings import ServiceSettings

_POSITION = """
SELECT next_offset FROM tenancy.consumer_offsets WHERE consumer = $1 AND topic = $2 AND partition = $3
"""


async def test_more_hot_tenants_than_workers_take_turns_with_a_single_event(database: Database) -> None:
    """Nobody keeps a worker: who comes last waits for two runs of each at most, not for any queue's end."""
    hot = [new_id() for _ in range(WORKERS + 2)]
    cold, waiting = new_id(), 6 * RUN
    handled: Counter[str] = Counter()
    cold_is_done = asyncio.Event()

    async def do_nothing(session: TenantSession, event: WorkspaceUpdated) -> None:
        pass

    def count(delivery: Delivery) -> None:
        handled[str(delivery.record.key)] += not cold_is_done.is_set()
        if delivery.record.key == tenant_key(cold).encode():
            cold_is_done.set()

    events = [update(tenant, new_id(), 1) for tenant in hot for _ in range(waiting)]
    deliveries = [
        Delivery(ConsumerRecord(TOPIC, 0, n, 0, 0, one.key, one.data, 0, 0, 0, one.headers()))
        for n, one in enumerate(map(wrap, [*events, update(cold, new_id(), 1)]))
    ]
    lanes = Lanes(f"turns-{cold.hex}", database, {WorkspaceUpdated: do_nothing})
    await lanes.take(deliveries, count)
    try:
        async with asyncio.timeout(30):
            await cold_is_done.wait()
    finally:
        await lanes.abandon()
    assert max(handled.values()) <= 2 * RUN


async def test_who_is_told_to_stop_finishes_what_has_begun_and_says_how_far_it_is(
    database: Database, settings: ServiceSettings, cluster: Cluster
) -> None:
    """So the next owner starts right behind, and begins nothing a second time."""
    handled = Handled(database, settings, cluster)
    tenant, workspace = new_id(), new_id()
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def take_long(session: TenantSession, event: WorkspaceUpdated) -> None:
        begun.set()
        await goes_on.wait()
        await handled.recorder.handle(session, event)

    handled.handlers[WorkspaceUpdated] = take_long
    before = await ends_of(settings)
    await stand_at(settings, handled.name, await cluster.current_id(), before)
    leaving = asyncio.ensure_future(handled.consumer().run())
    await send(settings, wrap(update(tenant, workspace, 1)))
    async with asyncio.timeout(20):
        await begun.wait()
    await send(settings, wrap(update(tenant, workspace, 2)))
    leaving.cancel()
    goes_on.set()
    await asyncio.wait([leaving])

    assert handled.effects_of(workspace) == [1]
    partition = PLACES[place(tenant)]
    connection = await asyncpg.connect(settings.relay_database_url)
    try:
        stored = await connection.fetchval(_POSITION, handled.name, partition.topic, partition.partition)
    finally:
        await connection.close()
    assert stored == before[partition] + 1


async def test_no_more_is_read_ahead_than_bounded(
    database: Database, settings: ServiceSettings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits behind a handler that is stuck waits at the broker, not in memory here; a partition
    of which little is in flight is read on all the same."""
    monkeypatch.setattr(consumer_module, "READ_AHEAD_BYTES", 250 * 2500)
    handled = Handled(database, settings, cluster)
    stuck, workspace, goes_on = new_id(), new_id(), asyncio.Event()
    other = next(tenant for tenant in iter(new_id, None) if place(tenant) != place(stuck))

    async def stick(session: TenantSession, event: WorkspaceUpdated) -> None:
        if event.tenant_id == stuck:
            await goes_on.wait()
        await handled.recorder.handle(session, event)

    handled.handlers[WorkspaceUpdated] = stick
    consumer = handled.consumer()

    def read_ahead() -> int:
        return sum(len(progress.in_flight) for progress in consumer.progress())

    async def reads_no_further() -> bool:
        return read_ahead() >= 250

    await stand_at(settings, handled.name, await cluster.current_id(), await ends_of(settings))
    async with running(consumer.run()):
        await send(settings, *(wrap(update(stuck, new_id(), 1)) for _ in range(2000)))
        await until(reads_no_further)
        for version in range(1, 4):
            await send(settings, wrap(update(other, workspace, version)))
            await until(partial(_has, handled, workspace, version))
            assert read_ahead() <= 250 + 500, "the bound and one fetch"
        goes_on.set()


async def _has(handled: Handled, workspace: UUID, version: int) -> bool:
    return version in handled.effects_of(workspace)
