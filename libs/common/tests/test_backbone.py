"""Outbox, relay and consumer over a real database and a real broker."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from libs.common.tests.backbone import (
    TOPIC,
    Databases,
    Handled,
    published,
    running,
    send,
    until,
    update,
    wrap,
    write,
)
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider

from common import telemetry
from common.bus import outbox
from common.bus.errors import Invalid, Transient
from common.bus.kafka import Cluster
from common.bus.relay import Relay
from common.context import SystemContext
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import Database
from common.ids import new_id
from common.settings import ServiceSettings
from common.testing.databases import ServiceDatabase


async def outbox_holds(made: ServiceDatabase, tenant: UUID, count: int) -> None:
    """Wait until so many rows are left: what the broker has is confirmed a moment later."""
    connection = await asyncpg.connect(made.superuser_url)

    async def as_many() -> bool:
        rows = "SELECT count(*) FROM tenancy.outbox WHERE tenant_id = $1"
        return await connection.fetchval(rows, tenant) == count

    try:
        await until(as_many)
    finally:
        await connection.close()


async def test_events_of_parallel_writers_arrive_in_order_and_numbered_without_a_gap(
    database: Database, settings: ServiceSettings, cluster: Cluster
) -> None:
    tenant = new_id()
    workspaces = [new_id() for _ in range(8)]

    async def writer(workspace: UUID) -> None:
        for version in range(1, 26):
            await write(database, tenant, update(tenant, workspace, version))

    relay = Relay("workspaces", settings, cluster, database.events_written)
    async with running(relay.run()):
        await asyncio.gather(*(writer(workspace) for workspace in workspaces))
        envelopes = await published(settings, tenant, 200)
    versions: dict[str, list[int]] = defaultdict(list)
    for envelope in envelopes:
        event = envelope.event()
        assert isinstance(event, WorkspaceUpdated)
        versions[envelope.subject].append(event.version)
    assert list(versions.values()) == [list(range(1, 26))] * 8
    numbers = sorted(envelope.sequence for envelope in envelopes)
    assert numbers == list(range(numbers[0], numbers[0] + 200))


async def test_a_rolled_back_change_is_never_told(
    database: Database, settings: ServiceSettings, cluster: Cluster
) -> None:
    tenant, workspace = new_id(), new_id()
    async with database.tenant(SystemContext(tenant, "job", "workspaces")) as session:
        await outbox.emit(session, update(tenant, workspace, 1))
        await session.rollback()
    await write(database, tenant, update(tenant, workspace, 2))
    relay = Relay("workspaces", settings, cluster, database.events_written)
    async with running(relay.run()):
        envelopes = await published(settings, tenant, 1)
    assert [getattr(envelope.event(), "version", None) for envelope in envelopes] == [2]


async def test_an_event_cannot_be_written_for_another_tenant(database: Database) -> None:
    tenant = new_id()
    async with database.tenant(SystemContext(tenant, "job", "workspaces")) as session:
        with pytest.raises(ValueError, match="tenant of its session"):
            await outbox.emit(session, update(new_id(), new_id(), 1))


async def test_an_event_too_large_parks_with_its_aggregate_and_others_go_on(
    database: Database, settings: ServiceSettings, cluster: Cluster, service_database: Databases
) -> None:
    tenant, large, small = new_id(), new_id(), new_id()
    huge = WorkspaceUpdated(tenant_id=tenant, workspace_id=large, version=1, name="x" * 1_500_000, slug="s")
    await write(database, tenant, huge, update(tenant, large, 2), update(tenant, small, 1))
    relay = Relay("workspaces", settings, cluster, database.events_written)
    async with running(relay.run()):
        envelopes = await published(settings, tenant, 1)
        await write(database, tenant, update(tenant, large, 3), update(tenant, small, 2))
        envelopes = await published(settings, tenant, 2)
        made = await service_database("workspaces")
        await outbox_holds(made, tenant, 3)  # the large one and what waits behind it
    assert {envelope.subject for envelope in envelopes} == {update(tenant, small, 1).subject}
    connection = await asyncpg.connect(made.superuser_url)
    await connection.execute("DELETE FROM tenancy.outbox WHERE tenant_id = $1", tenant)
    await connection.close()


async def test_an_event_is_too_large_whatever_part_of_it_is(
    settings: ServiceSettings, cluster: Cluster, database: Database, service_database: Databases
) -> None:
    """Whoever reaches the outbox with SQL of his own must not make batches that no broker takes."""
    tenant, made = new_id(), await service_database("workspaces")
    connection = await asyncpg.connect(made.superuser_url)
    statement = """
    INSERT INTO tenancy.outbox (tenant_id, event_id, topic, type, subject, data, tracestate)
    VALUES ($1, $2, 'penguinmails.workspaces', 'penguinmails.Odd.v1', $3, '{}', repeat('x', 1500000))
    """
    await connection.execute(statement, tenant, new_id(), "odd")
    await write(database, tenant, update(tenant, new_id(), 1))
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        await published(settings, tenant, 1)
        await outbox_holds(made, tenant, 1)
    parked = await connection.fetchval("SELECT parked_at FROM tenancy.outbox WHERE tenant_id = $1", tenant)
    assert parked is not None
    await connection.execute("DELETE FROM tenancy.outbox WHERE tenant_id = $1", tenant)
    await connection.close()


@asynccontextmanager
async def two_relays(
    settings: ServiceSettings, cluster: Cluster
) -> AsyncIterator[tuple[Relay, Relay, asyncio.Task[None]]]:
    """One at work, with its task, and one that has not begun."""
    first, second = (Relay("workspaces", settings, cluster, asyncio.Event()) for _ in range(2))

    async def first_active() -> bool:
        return first.active

    async with running(first.run()) as (task,):
        await until(first_active)
        yield first, second, task


async def test_the_second_relay_stands_by_and_takes_over(
    database: Database, settings: ServiceSettings, cluster: Cluster, service_database: Databases
) -> None:
    tenant, workspace = new_id(), new_id()
    async with two_relays(settings, cluster) as (_, second, task), running(second.run()):
        await write(database, tenant, update(tenant, workspace, 1))
        await outbox_holds(await service_database("workspaces"), tenant, 0)
        assert not second.active
        task.cancel()

        async def second_active() -> bool:
            return second.active

        await until(second_active, within=5)
        await write(database, tenant, update(tenant, workspace, 2))
        assert len(await published(settings, tenant, 2)) == 2


async def test_a_relay_that_leaves_publishes_what_is_written_first(
    database: Database, settings: ServiceSettings, cluster: Cluster, service_database: Databases
) -> None:
    tenant, workspace = new_id(), new_id()
    async with two_relays(settings, cluster) as (first, second, task):
        standing_by = asyncio.create_task(second.run())
        for version in range(1, 4):
            await write(database, tenant, *(update(tenant, workspace, version * 10 + n) for n in range(10)))
        second.leave()
        first.leave()
        async with asyncio.timeout(10):
            await task
            await standing_by
    await outbox_holds(await service_database("workspaces"), tenant, 0)
    assert len(await published(settings, tenant, 30)) == 30


async def test_a_second_delivery_has_no_second_effect(
    handled: Handled, settings: ServiceSettings, cluster: Cluster
) -> None:
    await cluster.current_id()
    tenant, workspace = new_id(), new_id()
    first, second = (wrap(update(tenant, workspace, version)) for version in (1, 2))
    await send(settings, first, first, second, first)

    async def done() -> bool:
        return 2 in handled.effects_of(workspace)

    async with running(handled.consumer().run()):
        await until(done)
    async with running(handled.consumer().run()):  # another process under the same name
        third = wrap(update(tenant, workspace, 3))
        await send(settings, second, third)

        async def third_done() -> bool:
            return 3 in handled.effects_of(workspace)

        await until(third_done)
    assert handled.effects_of(workspace) == [1, 2, 3]


async def test_a_transient_failure_is_retried_until_it_passes_and_nothing_overtakes_it(
    handled: Handled, settings: ServiceSettings, cluster: Cluster
) -> None:
    await cluster.current_id()
    tenant, workspace = new_id(), new_id()
    handled.recorder.failures[workspace, 1] = [Transient("away") for _ in range(7)]
    await send(settings, *(wrap(update(tenant, workspace, version)) for version in (1, 2)))

    async def done() -> bool:
        return len(handled.effects_of(workspace)) == 2

    async with running(handled.consumer().run()):
        await until(done)
    assert handled.effects_of(workspace) == [1, 2]


@pytest.mark.parametrize("failure", [Invalid("never"), RuntimeError("a bug")])
async def test_what_can_never_be_handled_becomes_a_dead_letter_and_others_go_on(
    handled: Handled,
    settings: ServiceSettings,
    cluster: Cluster,
    service_database: Databases,
    failure: Exception,
) -> None:
    await cluster.current_id()
    tenant, workspace, healthy = new_id(), new_id(), new_id()
    handled.recorder.failures[workspace, 1] = [failure] * 99
    poison = wrap(update(tenant, workspace, 1))
    await send(settings, poison, wrap(update(new_id(), healthy, 2)))
    made = await service_database("workspaces")
    connection = await asyncpg.connect(made.superuser_url)

    async def buried() -> bool:
        query = "SELECT reason FROM tenancy.dead_letters WHERE consumer = $1 AND event_id = $2"
        return await connection.fetchval(query, handled.name, poison.event_id) == type(failure).__name__

    async def others_handled() -> bool:
        return handled.effects_of(healthy) == [2]

    try:
        async with running(handled.consumer().run()):
            await until(buried)
            await until(others_handled)
        assert handled.effects_of(workspace) == []
        query = "SELECT count(*) FROM tenancy.outbox WHERE topic = $1 AND event_id = $2"
        waiting = await connection.fetchval(query, f"{TOPIC}.dlq", poison.event_id)
        query = query.replace("tenancy.outbox ", "tenancy.outbox_history ")
        assert waiting + await connection.fetchval(query, f"{TOPIC}.dlq", poison.event_id) == 1
    finally:
        await connection.close()


async def test_forged_envelopes_have_no_effect_and_stop_nobody(
    handled: Handled, settings: ServiceSettings, cluster: Cluster
) -> None:
    """The payload's tenant is not the envelope's; the key is not the tenant; the payload is garbage."""
    await cluster.current_id()
    tenant, victim, workspace = new_id(), new_id(), new_id()
    forged = wrap(update(victim, workspace, 1), tenant_id=tenant)
    garbage = wrap(update(tenant, workspace, 2), data=b"\xff{")
    honest = wrap(update(tenant, workspace, 3))
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    await producer.start()
    await producer.send_and_wait(TOPIC, b"no headers at all", key=honest.key)
    await producer.send_and_wait(TOPIC, b"\x00\xff not even text", key=b"\x00")
    await producer.send_and_wait(TOPIC, honest.data, key=b"other", headers=honest.headers())
    await producer.stop()
    strange = wrap(update(tenant, workspace, 4), subject="ws_\x00", data=b'{"\\u0000": "\\ud800"}')
    await send(settings, forged, garbage, strange, honest)

    async def done() -> bool:
        return bool(handled.effects_of(workspace))

    async with running(handled.consumer().run()):
        await until(done)
    assert handled.effects_of(workspace) == [3]


async def test_two_replicas_share_the_partitions_and_a_survivor_takes_all(
    handled: Handled, settings: ServiceSettings, cluster: Cluster
) -> None:
    tenants = [new_id() for _ in range(40)]
    workspace = new_id()

    async def all_handled(version: int) -> bool:
        return handled.effects_of(workspace).count(version) == len(tenants)

    await cluster.current_id()
    async with running(handled.consumer().run()) as (first,), running(handled.consumer().run()):
        await send(settings, *(wrap(update(tenant, workspace, 1)) for tenant in tenants))
        await until(lambda: all_handled(1))
        first.cancel()
        await send(settings, *(wrap(update(tenant, workspace, 2)) for tenant in tenants))
        await until(lambda: all_handled(2), within=10)
    assert len(handled.effects_of(workspace)) == 2 * len(tenants), "each event once"


async def test_only_recorded_traces_get_a_span_of_the_publication(
    database: Database, settings: ServiceSettings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event of any other trace carries on what it came with."""
    monkeypatch.setattr(telemetry, "tracer", TracerProvider(shutdown_on_exit=False).get_tracer("test"))
    tenant, trace_id = new_id(), "0af7651916cd43dd8448eb211c80319c"
    for version, flags in enumerate(("00", "01"), start=1):
        parent = telemetry.remote_context(f"00-{trace_id}-b7ad6b7169203331-{flags}")
        token = attach(parent)
        await write(database, tenant, update(tenant, new_id(), version))
        detach(token)
    relay = Relay("workspaces", settings, cluster, database.events_written)
    async with running(relay.run()):
        envelopes = await published(settings, tenant, 2)
    left_out, recorded = sorted((str(one.traceparent) for one in envelopes), key=lambda text: text[-2:])
    assert left_out == f"00-{trace_id}-b7ad6b7169203331-00"
    assert recorded.startswith(f"00-{trace_id}-")
    assert recorded.endswith("-01")
    assert "b7ad6b7169203331" not in recorded
