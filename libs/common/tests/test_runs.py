"""Events of one tenant that are handled together: as if each had been alone, in fewer transactions."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import asyncpg
import pytest
from aiokafka.structs import ConsumerRecord
from libs.common.tests.backbone import TOPIC, Databases, until, update, wrap
from sqlalchemy import select, text

from common.bus import outbox
from common.bus.consumer import Delivery
from common.bus.handling import Handling
from common.bus.lanes import Lanes
from common.context import SystemContext
from common.contracts.envelope import Envelope
from common.contracts.workspaces import WorkspaceUpdated
from common.db.errors import driver_error
from common.db.session import Database, TenantSession
from common.ids import Kind, new_id, to_text
from workspaces.models import WorkspaceRow

_LOCK = "SELECT pg_advisory_xact_lock($1)"
_EFFECTS = "SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND topic NOT LIKE '%.dlq' ORDER BY id"
_TRANSACTIONS = "SELECT count(DISTINCT xmin::text) FROM tenancy.inbox WHERE tenant_id = $1"
POISON = "poison"


@pytest.fixture
async def sql(service_database: Databases) -> AsyncIterator[asyncpg.Connection]:
    """What really is in the database; leaves no event behind for a relay to send."""
    connection = await asyncpg.connect((await service_database("workspaces")).superuser_url)
    yield connection
    await connection.execute("DELETE FROM tenancy.outbox")
    await connection.close()


async def effect(session: TenantSession, event: WorkspaceUpdated) -> None:
    """Emits what it is given."""
    if event.name == POISON:
        raise RuntimeError("a bug of the handler")
    await outbox.emit(session, event)


async def effects(sql: asyncpg.Connection, tenant: UUID) -> list[int]:
    return [json.loads(row["data"])["version"] for row in await sql.fetch(_EFFECTS, tenant)]


def events(tenant: UUID, workspace: UUID, count: int, poison: int = 0) -> list[Envelope]:
    made = [update(tenant, workspace, version) for version in range(1, count + 1)]
    return [wrap(one.model_copy(update={"name": POISON}) if one.version == poison else one) for one in made]


async def hand_in(lanes: Lanes, envelopes: Sequence[Envelope]) -> list[int]:
    """Give the lanes everything at once; the offsets in the order in which they were done."""
    done: list[int] = []

    async def all_done() -> bool:
        return len(done) == len(envelopes)

    deliveries = [
        Delivery(ConsumerRecord(TOPIC, 0, n, 0, 0, one.key, one.data, 0, 0, 0, one.headers()))
        for n, one in enumerate(envelopes)
    ]
    await lanes.take(deliveries, lambda delivery: done.append(delivery.record.offset))
    try:
        await until(all_done)
    finally:
        await lanes.abandon()
    return done


async def test_what_waits_is_handled_in_order_once_and_in_fewer_transactions(
    database: Database, sql: asyncpg.Connection
) -> None:
    tenant = new_id()
    waiting = events(tenant, new_id(), 100)
    again = [*waiting, *waiting[50:]]
    assert await hand_in(Lanes("runs", database, {WorkspaceUpdated: effect}), again) == list(range(150))
    assert await effects(sql, tenant) == list(range(1, 101))
    # Of 100; on an idle machine a tenth of that. A run ends by the clock, so a busy one needs more.
    assert await sql.fetchval(_TRANSACTIONS, tenant) < 95


async def test_one_that_fails_takes_nobody_with_it(database: Database, sql: asyncpg.Connection) -> None:
    tenant, sick, well = new_id(), new_id(), new_id()
    pairs = zip(events(tenant, sick, 40, poison=30), events(tenant, well, 40), strict=True)
    await hand_in(
        Lanes("runs", database, {WorkspaceUpdated: effect}), [one for pair in pairs for one in pair]
    )
    expected = sorted([*range(1, 41), *range(1, 30)])
    assert sorted(await effects(sql, tenant)) == expected
    letters = "SELECT waiting, count(*) FROM tenancy.dead_letters WHERE tenant_id = $1 GROUP BY waiting"
    assert dict(await sql.fetch(letters, tenant)) == {False: 1, True: 10}


async def test_each_effect_names_its_own_cause(database: Database, sql: asyncpg.Connection) -> None:
    tenant = new_id()
    together = events(tenant, new_id(), 5)
    handling = Handling("runs", database, {WorkspaceUpdated: effect})
    await handling.apply_run([(TOPIC, one) for one in together])
    assert await sql.fetchval(_TRANSACTIONS, tenant) == 1
    causes = [json.loads(row["data"])["meta"]["cause_id"] for row in await sql.fetch(_EFFECTS, tenant)]
    assert causes == [to_text(Kind.EVENT, one.event_id) for one in together]


async def test_a_handler_sees_what_the_one_before_it_wrote_by_other_means(database: Database) -> None:
    tenant, workspace = new_id(), new_id()
    seen: list[str] = []

    async def make_change_and_look(session: TenantSession, event: WorkspaceUpdated) -> None:
        if event.version == 1:
            session.add(WorkspaceRow(workspace_id=workspace, name="made", slug="s"))
        elif event.version == 2:
            await session.execute(text("UPDATE workspaces.workspaces SET name = 'changed'"))
        else:
            seen.append((await session.execute(select(WorkspaceRow))).scalar_one().name)

    handling = Handling("runs", database, {WorkspaceUpdated: make_change_and_look})
    await handling.apply_run([(TOPIC, one) for one in events(tenant, workspace, 3)])
    assert seen == ["changed"]


async def test_nothing_of_a_run_stays_when_one_of_it_fails(
    database: Database, sql: asyncpg.Connection
) -> None:
    tenant = new_id()
    handling = Handling("runs", database, {WorkspaceUpdated: effect})
    with pytest.raises(RuntimeError, match="a bug"):
        await handling.apply_run([(TOPIC, one) for one in events(tenant, new_id(), 5, poison=5)])
    assert await effects(sql, tenant) == []
    assert await sql.fetchval(_TRANSACTIONS, tenant) == 0


async def test_a_run_gives_up_rather_than_wait_with_its_locks(
    database: Database, sql: asyncpg.Connection
) -> None:
    """Somebody holds what the second wants, and then wants what the first has: nobody becomes a victim."""
    tenant = new_id()
    locks = {1: 7_001, 2: 7_002}

    async def lock(session: TenantSession, event: WorkspaceUpdated) -> None:
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks[event.version]})

    handling = Handling("runs", database, {WorkspaceUpdated: lock})
    async with sql.transaction():
        await sql.execute(_LOCK, locks[2])
        run = asyncio.create_task(handling.apply_run([(TOPIC, one) for one in events(tenant, new_id(), 2)]))
        holders = "SELECT EXISTS (SELECT FROM pg_locks WHERE objid = $1::bigint::oid AND granted)"

        async def first_has_its_lock() -> bool:
            return run.done() or await sql.fetchval(holders, locks[1])

        await until(first_has_its_lock)
        await sql.execute(_LOCK, locks[1])
        with pytest.raises(Exception, match="lock timeout") as refused:
            await run
    below = driver_error(refused.value)
    assert below is not None
    assert below.sqlstate == "55P03"


async def test_a_session_goes_on_for_its_own_tenant_only(database: Database) -> None:
    tenant = new_id()
    async with database.tenant(SystemContext(tenant, "event", "runs")) as session:
        session.continue_as(SystemContext(tenant, "event", "runs", cause_id="evt_x"))
        assert session.context.cause_id == "evt_x"
        with pytest.raises(ValueError, match="stays with whom"):
            session.continue_as(SystemContext(new_id(), "event", "runs"))
