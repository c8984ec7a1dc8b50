"""Events act in the tenant of their envelope or nowhere, whatever else they name and whoever came before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from audit.ingest.batch import Recorder
from audit.ingest.processor import Ingestion
from common.bus import outbox
from common.bus.consumer import Delivery
from common.bus.lanes import Lanes
from common.bus.projections import PROJECTIONS
from common.context import SystemContext
from common.contracts.envelope import TOPICS, Event, registry
from common.contracts.tenants import TenantDeleted, TenantErasureAwaited
from common.ids import new_id
from common.testing.harness import MadeTenant
from tests.isolation.events import delivery, envelope_of, forged, honest, make_event
from tests.isolation.installation import World

Books = dict[str, str | None]
SERVICES = ("auth", "tenants", "workspaces", "campaigns", "audit")
ENDINGS = {TenantDeleted, TenantErasureAwaited}
EVERY_TYPE = [cls for cls in registry().values() if "tenant_id" in cls.model_fields]


@pytest.fixture
async def lanes(world: World) -> AsyncIterator[Lanes]:
    """What the service's consumer hands its records to."""
    lanes = Lanes(world.service, world.harness.kernel.database, world.harness.service.handlers)
    yield lanes
    await lanes.abandon()


def handled_by(world: World) -> list[type[Event]]:
    """Every type that the service does something about; last that after which nothing else is handled."""
    types = {*PROJECTIONS, *world.harness.service.handlers}
    return sorted(types, key=lambda cls: (cls in ENDINGS, cls.ce_type()))


async def handle(lanes: Lanes, *deliveries: Delivery) -> None:
    """Have the records handled; all are reported done."""
    done: asyncio.Queue[Delivery] = asyncio.Queue()
    await lanes.take(deliveries, done.put_nowait)
    async with asyncio.timeout(30):
        for _ in deliveries:
            await done.get()


async def books(world: World, superuser: asyncpg.Connection, tenant: MadeTenant) -> Books:
    """A digest of the tenant's rows in every table."""
    digest = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} AS t WHERE tenant_id = $1"
    return {
        table.name: await superuser.fetchval(digest.format(table.name), tenant.tenant_id)
        for table in world.tables
    }


async def buried(superuser: asyncpg.Connection, tenant_id: UUID, event_id: UUID) -> bool:
    """Whether the event is a dead letter of the tenant's."""
    statement = "SELECT reason FROM tenancy.dead_letters WHERE tenant_id = $1 AND event_id = $2"
    return await superuser.fetchval(statement, tenant_id, event_id) is not None


async def claimed(superuser: asyncpg.Connection, event_id: UUID) -> list[UUID]:
    """The tenants in which the event was handled."""
    rows = await superuser.fetch("SELECT tenant_id FROM tenancy.inbox WHERE event_id = $1", event_id)
    return sorted(row["tenant_id"] for row in rows)


async def test_events_of_two_tenants_by_turns_act_in_their_own(
    world: World, lanes: Lanes, superuser: asyncpg.Connection
) -> None:
    """The positive control too: honest records of every type are handled, each in its own tenant."""
    pair = (new_id(), new_id())
    events = [make_event(cls, tenant) for cls in handled_by(world) for tenant in pair]
    envelopes = [envelope_of(event, event.tenant_id) for event in events]  # type: ignore[attr-defined]
    deliveries = [honest(*both, place) for place, both in enumerate(zip(events, envelopes, strict=True))]
    bystander = await books(world, superuser, world.theirs)
    await handle(lanes, *deliveries)
    for envelope in envelopes:
        assert not await buried(superuser, envelope.tenant_id, envelope.event_id), envelope.type
        assert await claimed(superuser, envelope.event_id) == [envelope.tenant_id], envelope.type
    assert await books(world, superuser, world.theirs) == bystander


async def test_the_same_id_in_two_tenants_is_two_events_and_twice_in_one_is_one(
    world: World, lanes: Lanes, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[UUID] = []
    cls = handled_by(world)[0]

    async def note(session: object, event: Event) -> None:
        handled.append(event.tenant_id)  # type: ignore[attr-defined]

    monkeypatch.setitem(PROJECTIONS, cls, note)
    tenants = [world.mine.tenant_id, world.theirs.tenant_id]
    first = envelope_of(make_event(cls, tenants[0]), tenants[0])
    for tenant in (*tenants, *tenants):
        event = make_event(cls, tenant)
        await handle(lanes, honest(event, envelope_of(event, tenant, event_id=first.event_id)))
    assert await claimed(superuser, first.event_id) == sorted(tenants)
    assert handled == tenants


async def test_a_payload_of_another_tenant_is_buried_and_does_nothing(
    world: World, lanes: Lanes, superuser: asyncpg.Connection
) -> None:
    mine, theirs = world.mine.tenant_id, world.theirs.tenant_id
    aside = {"tenancy.dead_letters", "tenancy.outbox"}
    for cls in handled_by(world):
        before = [await books(world, superuser, tenant) for tenant in (world.mine, world.theirs)]
        event = make_event(cls, theirs)
        envelope = envelope_of(event, mine)
        await handle(lanes, honest(event, envelope))
        assert await buried(superuser, mine, envelope.event_id), cls
        assert await claimed(superuser, envelope.event_id) == [], cls
        own, foreign = [await books(world, superuser, tenant) for tenant in (world.mine, world.theirs)]
        assert foreign == before[1], cls
        assert {name: own[name] for name in own if name not in aside} == {
            name: before[0][name] for name in own if name not in aside
        }, cls


def strangers_to(cls: type[Event]) -> list[str]:
    """Services that may not tell of the event; of a report: that may not tell of another service's."""
    return [name for name in SERVICES if not cls.comes_from(name)] or ["auth"]


async def test_a_service_cannot_speak_for_another(
    world: World, lanes: Lanes, superuser: asyncpg.Connection
) -> None:
    """Whoever can write one service's outbox cannot delete a tenant or make somebody its owner."""
    for cls in handled_by(world):
        event = make_event(cls, world.mine.tenant_id)
        envelopes = [envelope_of(event, world.mine.tenant_id, source) for source in strangers_to(cls)]
        await handle(lanes, *(honest(event, one, place) for place, one in enumerate(envelopes)))
        for envelope in envelopes:
            assert await claimed(superuser, envelope.event_id) == [], (cls, envelope.source)


async def test_an_event_on_the_topic_of_others_does_nothing(
    world: World, lanes: Lanes, superuser: asyncpg.Connection
) -> None:
    """Topics are what rights to write to the broker are given for."""
    for cls in handled_by(world):
        event = make_event(cls, world.mine.tenant_id)
        envelope = envelope_of(event, world.mine.tenant_id)
        other = next(topic for topic in TOPICS if topic != cls.TOPIC)
        await handle(lanes, delivery(other, envelope.headers(), envelope.key, envelope.data, 1))
        assert await claimed(superuser, envelope.event_id) == [], cls


def test_every_event_is_some_service_s_or_everybody_s() -> None:
    homeless = [cls for cls in registry().values() if not any(cls.comes_from(name) for name in SERVICES)]
    assert homeless == []


async def test_records_that_name_two_tenants_or_none_do_nothing(
    world: World, lanes: Lanes, superuser: asyncpg.Connection
) -> None:
    before = [await books(world, superuser, tenant) for tenant in (world.mine, world.theirs)]
    for cls in handled_by(world):
        event = make_event(cls, world.mine.tenant_id)
        mine = envelope_of(event, world.mine.tenant_id)
        records = forged(event, mine, envelope_of(event, world.theirs.tenant_id))
        await handle(lanes, *records.values())
        assert await claimed(superuser, mine.event_id) == [], cls
    assert [await books(world, superuser, tenant) for tenant in (world.mine, world.theirs)] == before


async def test_events_of_another_tenant_cannot_be_written(world: World) -> None:
    context = SystemContext(world.mine.tenant_id, "job", world.service)
    async with world.harness.kernel.database.tenant(context) as session:
        await outbox.emit(session, make_event(EVERY_TYPE[0], world.mine.tenant_id))
        for cls in EVERY_TYPE:
            with pytest.raises(ValueError, match="belongs to the tenant of its session"):
                await outbox.emit(session, make_event(cls, world.theirs.tenant_id))


# The audit log, which takes every tenant's events in one batch ------------------------------------------


@pytest.fixture
async def log(worlds: Callable[[str], Awaitable[World]]) -> World:
    return await worlds("audit")


@pytest.fixture
async def log_reader(log: World) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(log.database.superuser_url)
    yield connection
    await connection.close()


@pytest.fixture
async def ingestion(log: World) -> AsyncIterator[Ingestion]:
    ingestion = Ingestion(log.database.ingest_url, Recorder(b"k" * 32), timedelta(days=30), lambda: None)
    yield ingestion
    await ingestion.abandon()


async def logged(reader: asyncpg.Connection, event_id: UUID) -> set[UUID]:
    """The tenants in whose log the event stands."""
    rows = await reader.fetch("SELECT tenant_id FROM audit.events WHERE event_id = $1", event_id)
    return {row["tenant_id"] for row in rows}


async def test_the_log_takes_each_tenants_events_into_its_own(
    log: World, log_reader: asyncpg.Connection, ingestion: Ingestion
) -> None:
    batch = []
    for cls in EVERY_TYPE:
        for tenant in (log.mine.tenant_id, log.theirs.tenant_id):
            event = make_event(cls, tenant)
            batch.append((event, envelope_of(event, tenant)))
    await ingestion.take([honest(event, envelope) for event, envelope in batch], lambda _: None)
    plain = [
        (event, envelope) for event, envelope in batch if event.ACTION and type(event).RESOURCE != "access"
    ]
    assert len(plain) > 20
    for event, envelope in plain:
        assert await logged(log_reader, envelope.event_id) == {envelope.tenant_id}, type(event)


async def test_the_log_believes_no_record_that_names_two_tenants(
    log: World, log_reader: asyncpg.Connection, ingestion: Ingestion
) -> None:
    before = await books(log, log_reader, log.theirs)
    for cls in EVERY_TYPE:
        event = make_event(cls, log.theirs.tenant_id)
        mine = envelope_of(event, log.mine.tenant_id)
        records = forged(event, mine, envelope_of(event, log.theirs.tenant_id))
        await ingestion.take([honest(event, mine), *records.values()], lambda _: None)
        assert await logged(log_reader, mine.event_id) == set(), cls
    assert await books(log, log_reader, log.theirs) == before
