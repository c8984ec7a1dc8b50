"""A deleted tenant is erased from every table of every service, exactly it, whatever happens meanwhile."""

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common import clock
from common.bus import inbox
from common.bus.handling import Handling
from common.bus.inbox import Claim
from common.bus.projections import PROJECTIONS
from common.context import RequestInfo, SystemContext, UserContext
from common.contracts.envelope import Event
from common.contracts.tenants import (
    ErasedRows,
    TenantDeleted,
    TenantDescribed,
    TenantErased,
    TenantErasureAwaited,
    TenantProvisioned,
)
from common.db.errors import EntryRefused
from common.db.session import TenantSession
from common.erasure import KERNEL_KEEPS, Erasing, TableForgotten, Undertaker, plan
from common.ids import new_id
from common.testing.harness import MadeTenant
from tests.isolation.events import envelope_of, make_event
from tests.isolation.installation import World
from tests.isolation.remains import counts_of, ids_of, search, spellings
from tests.isolation.seeds import seed
from tests.isolation.services import SERVICES

BLANKED = "audit.events (blanked)"
DIGEST = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} AS t WHERE tenant_id = $1"


@pytest.fixture
async def handling(world: World) -> Handling:
    """What the service's consumer does about events."""
    return Handling(world.service, world.harness.kernel.database, world.harness.service.handlers)


@pytest.fixture
async def gone(world: World, superuser: asyncpg.Connection) -> MadeTenant:
    """A tenant with rows in every table, to be erased."""
    tenant = await world.harness.make_tenant(f"Gone {new_id().hex} Ltd")
    await seed(world.harness, tenant)
    await world.harness.kernel.access_log.flush()
    await superuser.execute("DELETE FROM tenancy.erasures WHERE tenant_id = $1", tenant.tenant_id)
    return tenant


async def apply(handling: Handling, tenant_id: UUID, event: Event) -> None:
    await handling.apply(event.TOPIC, envelope_of(event, tenant_id))


async def delete(handling: Handling, tenant_id: UUID) -> None:
    await apply(handling, tenant_id, TenantDeleted(tenant_id=tenant_id, version=99))


def undertaker(world: World, batch: int = 500) -> Undertaker:
    return Undertaker(world.harness.kernel, world.harness.service.erasing, batch)


async def told_by(superuser: asyncpg.Connection, tenant_id: UUID) -> TenantErased:
    """What the service has told: once."""
    statement = "SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND type = $2"
    (row,) = await superuser.fetch(statement, tenant_id, TenantErased.ce_type())
    return TenantErased.model_validate(json.loads(row["data"]))


async def digests(world: World, superuser: asyncpg.Connection, tenant_id: UUID) -> dict[str, str | None]:
    return {
        table.name: await superuser.fetchval(DIGEST.format(table.name), tenant_id) for table in world.tables
    }


async def test_nothing_is_found_but_what_is_told(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    """The platform's other tenant has the same names in its rows, and keeps all of them."""
    before = await digests(world, superuser, world.theirs.tenant_id)
    ids = await ids_of(superuser, gone.tenant_id)
    assert {gone.tenant_id, gone.owner_id, gone.workspace_id} <= ids
    name = await superuser.fetchval("SELECT name FROM tenancy.tenants WHERE tenant_id = $1", gone.tenant_id)
    await delete(handling, gone.tenant_id)
    await undertaker(world).work_on(gone.tenant_id)
    told = await told_by(superuser, gone.tenant_id)
    await superuser.execute("DELETE FROM tenancy.outbox WHERE tenant_id = $1", gone.tenant_id)  # has left
    words = {word for one in ids for word in spellings(one)} | {name.lower()}
    found = await search(superuser, words)
    assert found.keys() <= {one.what for one in told.kept}
    stays = await ids_of(superuser, gone.tenant_id)  # its own, and those of the events in its log
    assert not stays & {gone.owner_id, gone.workspace_id}
    assert set().union(*found.values()) <= {word for one in stays for word in spellings(one)}
    assert await digests(world, superuser, world.theirs.tenant_id) == before


async def test_its_people_are_refused_and_not_waited_for(
    world: World, handling: Handling, gone: MadeTenant
) -> None:
    request = RequestInfo("erased", "GET", "/", "", "")
    ids = (gone.tenant_id, gone.owner_id, new_id())
    owner = UserContext(*ids, issued_at=clock.now(), email="", request=request)
    async with world.harness.kernel.enter(owner):
        await delete(handling, gone.tenant_id)
    for _ in range(2):  # while its members are still known, and when they are not any more
        with pytest.raises(EntryRefused):
            async with world.harness.kernel.database.tenant(owner):
                pytest.fail("entered")
        await undertaker(world).work_on(gone.tenant_id)


async def test_interruptions_neither_lose_nor_double_anything(
    world: World,
    handling: Handling,
    gone: MadeTenant,
    superuser: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process is killed at every third commit, just before it, and begins anew each time."""
    await delete(handling, gone.tenant_id)
    expected = await counts_of(superuser, gone.tenant_id)
    commit, commits = TenantSession.commit, iter(range(2000))

    async def killed_now_and_then(session: TenantSession) -> None:
        if next(commits) % 3 == 0:
            raise ConnectionResetError
        await commit(session)

    monkeypatch.setattr(TenantSession, "commit", killed_now_and_then)
    for _ in range(2000):
        try:
            await undertaker(world, batch=1).work_on(gone.tenant_id)
            break
        except ConnectionResetError:
            continue
    monkeypatch.undo()
    told = await told_by(superuser, gone.tenant_id)
    counts = {one.table: one.rows for one in told.erased}
    events = expected.get("audit.events", 0)
    assert counts.pop(BLANKED, 0) == events
    spared = {*(one.what for one in told.kept), "tenancy.outbox"}
    assert counts == {name: rows for name, rows in expected.items() if name not in spared}
    await undertaker(world).work_on(gone.tenant_id)
    assert (await told_by(superuser, gone.tenant_id)).erased == told.erased


async def test_late_events_bring_nothing_back(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    late = [make_event(cls, gone.tenant_id) for cls in (*PROJECTIONS, *world.harness.service.handlers)]
    await delete(handling, gone.tenant_id)
    await undertaker(world).work_on(gone.tenant_id)
    before = await digests(world, superuser, gone.tenant_id)
    for event in late:
        envelope = envelope_of(event, gone.tenant_id)
        if not event.OUTLIVES_TENANT:
            await handling.apply(event.TOPIC, envelope)
            assert await handling.replay(event.TOPIC, envelope, dry_run=False) == "of a deleted tenant"
            assert not await handling.bury(event.TOPIC, envelope, ValueError(), 5)
    assert await digests(world, superuser, gone.tenant_id) == before


async def test_who_missed_the_deletion_learns_of_it_from_a_snapshot(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    described = make_event(TenantDescribed, gone.tenant_id)
    await apply(handling, gone.tenant_id, described.model_copy(update={"status": "deleted", "version": 99}))
    await undertaker(world).work_on(gone.tenant_id)
    assert (await told_by(superuser, gone.tenant_id)).version == 99


async def awaited(handling: Handling, tenant_id: UUID, *services: str) -> None:
    event = TenantErasureAwaited(tenant_id=tenant_id, version=99, services=services)
    await apply(handling, tenant_id, event)


async def test_who_missed_the_deletion_learns_of_it_when_the_erasure_is_awaited(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    before = await digests(world, superuser, gone.tenant_id)
    others = tuple(sorted({*SERVICES} - {world.service}))
    await awaited(handling, gone.tenant_id, *others)
    after = await digests(world, superuser, gone.tenant_id)
    assert {name for name in before if before[name] != after[name]} <= {"tenancy.inbox"}, "another is meant"
    await awaited(handling, gone.tenant_id, *others, world.service)
    await undertaker(world).work_on(gone.tenant_id)
    told = await told_by(superuser, gone.tenant_id)
    assert told.version == 99
    assert (await counts_of(superuser, gone.tenant_id)).keys() <= {
        *(one.what for one in told.kept),
        "tenancy.outbox",
    }


async def test_a_report_that_was_lost_is_made_again(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    await delete(handling, gone.tenant_id)
    await undertaker(world).work_on(gone.tenant_id)
    told = await told_by(superuser, gone.tenant_id)
    await superuser.execute("DELETE FROM tenancy.outbox WHERE tenant_id = $1", gone.tenant_id)
    await awaited(handling, gone.tenant_id, world.service)
    await undertaker(world).work_on(gone.tenant_id)
    again = await told_by(superuser, gone.tenant_id)
    assert {*again.erased} ^ {*told.erased} <= {one for one in again.erased + told.erased if is_inbox(one)}


LOST = ("tenants", "members", "revocations", "workspaces", "workspace_roles")


async def remains(superuser: asyncpg.Connection, tenant_id: UUID) -> dict[str, int]:
    """But for events on their way out."""
    counts = await counts_of(superuser, tenant_id)
    counts.pop("tenancy.outbox", None)
    return counts


async def lose_projections(superuser: asyncpg.Connection, tenant_id: UUID) -> None:
    for name in LOST:
        await superuser.execute(f"DELETE FROM tenancy.{name} WHERE tenant_id = $1", tenant_id)
    await superuser.execute("DELETE FROM tenancy.outbox WHERE tenant_id = $1", tenant_id)


async def test_replaying_a_lost_projection_brings_no_erased_tenant_back(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    """The log has its first events still; its inbox, which knew them, was erased."""
    log = [make_event(cls, gone.tenant_id) for cls in (*PROJECTIONS, *world.harness.service.handlers)]
    await delete(handling, gone.tenant_id)
    await undertaker(world).work_on(gone.tenant_id)
    told, before = await told_by(superuser, gone.tenant_id), await remains(superuser, gone.tenant_id)
    await lose_projections(superuser, gone.tenant_id)
    for event in (*log, TenantDeleted(tenant_id=gone.tenant_id, version=99)):
        if not event.OUTLIVES_TENANT:
            envelope = envelope_of(event, gone.tenant_id)
            assert await handling.replay(event.TOPIC, envelope, dry_run=False) == "of a deleted tenant"
    await undertaker(world).work_on(gone.tenant_id)
    assert (await told_by(superuser, gone.tenant_id)).erased == told.erased
    assert await remains(superuser, gone.tenant_id) == before


async def test_a_deletion_that_is_heard_of_again_erases_what_has_come_back(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    await delete(handling, gone.tenant_id)
    await undertaker(world).work_on(gone.tenant_id)
    before = await remains(superuser, gone.tenant_id)
    await lose_projections(superuser, gone.tenant_id)
    await apply(handling, gone.tenant_id, make_event(TenantProvisioned, gone.tenant_id))
    assert "tenancy.members" in await counts_of(superuser, gone.tenant_id)
    await delete(handling, gone.tenant_id)
    await undertaker(world).work_on(gone.tenant_id)
    assert (await told_by(superuser, gone.tenant_id)).version == 99
    assert await remains(superuser, gone.tenant_id) == before


def is_inbox(one: ErasedRows) -> bool:
    """That of the reminder itself is in it."""
    return one.table == "tenancy.inbox"


async def test_late_events_handled_together_bring_nothing_back(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    classes = (*PROJECTIONS, *world.harness.service.handlers)
    late = [make_event(cls, gone.tenant_id) for cls in classes if not cls.OUTLIVES_TENANT]
    await delete(handling, gone.tenant_id)
    await undertaker(world).work_on(gone.tenant_id)
    before = await digests(world, superuser, gone.tenant_id)
    for event in late:
        arrival = event.TOPIC, envelope_of(event, gone.tenant_id)
        await handling.apply_run([arrival, arrival])
    assert await digests(world, superuser, gone.tenant_id) == before


async def test_whoever_began_before_the_deletion_is_waited_for(
    world: World, handling: Handling, gone: MadeTenant, superuser: asyncpg.Connection
) -> None:
    database, job = world.harness.kernel.database, undertaker(world)
    write = text("""INSERT INTO tenancy.idempotency_keys (tenant_id, principal, route, key, request_hash)
                    VALUES (tenancy.current_tenant(), 'straggler', '/seed', 'straggler', sha256('seed'))""")
    async with database.tenant(SystemContext(gone.tenant_id, "job", world.service)) as straggler:
        await delete(handling, gone.tenant_id)
        await job.work_on(gone.tenant_id)
        assert await counts_of(superuser, gone.tenant_id) != {}
        assert (
            await superuser.fetchval(
                "SELECT erased_at FROM tenancy.erasures WHERE tenant_id = $1", gone.tenant_id
            )
            is None
        )
        await straggler.execute(write)
        await straggler.commit()
    await superuser.execute(
        "UPDATE tenancy.erasures SET next_step_at = now() WHERE tenant_id = $1", gone.tenant_id
    )
    await job.work_on(gone.tenant_id)
    told = await told_by(superuser, gone.tenant_id)
    left = await counts_of(superuser, gone.tenant_id)
    assert left.keys() <= {*(one.what for one in told.kept), "tenancy.outbox"}


async def test_erasures_that_fail_or_last_keep_no_other_waiting(
    world: World, handling: Handling, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both places are taken by tenants that were due before: one that fails, and one that takes long."""
    await superuser.execute("DELETE FROM tenancy.erasures WHERE erased_at IS NULL")
    failing, lasting, quick = [(await world.harness.make_tenant()).tenant_id for _ in range(3)]
    for tenant_id in (failing, lasting, quick):
        await delete(handling, tenant_id)
    over, step = asyncio.Event(), Undertaker._step

    async def stepped(job: Undertaker, tenant_id: UUID, *, last: bool = False) -> Any:
        if tenant_id == failing:
            raise PermissionError
        if tenant_id == lasting:
            await over.wait()
        state = await step(job, tenant_id, last=last)
        if tenant_id == quick and last:
            over.set()
        return state

    monkeypatch.setattr(Undertaker, "_step", stepped)
    rounds = asyncio.create_task(undertaker(world).rounds.run())
    try:
        async with asyncio.timeout(20):
            await over.wait()
    finally:
        rounds.cancel()
        await asyncio.wait([rounds])


async def test_an_event_that_outlives_its_tenant_is_claimed(
    world: World, handling: Handling, gone: MadeTenant
) -> None:
    """The positive control of what late events do not do."""
    erased = TenantErased(tenant_id=gone.tenant_id, version=99, service="nobody", erased=(), kept=())
    deleted = TenantDeleted(tenant_id=gone.tenant_id, version=99)
    await delete(handling, gone.tenant_id)
    context = SystemContext(gone.tenant_id, "event", world.service)
    async with world.harness.kernel.database.tenant(context) as session:
        envelopes = [envelope_of(event, gone.tenant_id) for event in (erased, deleted)]
        claims = [await inbox.claim(session, world.service, envelope) for envelope in envelopes]
        assert claims == [Claim.OURS, Claim.ENDED]


async def test_every_table_is_erased_or_named_with_its_reason(world: World) -> None:
    context, erasing = (
        SystemContext(world.mine.tenant_id, "job", world.service),
        world.harness.service.erasing,
    )
    async with world.harness.kernel.database.tenant(context) as session:
        planned = await plan(session, erasing)
        spared = {*KERNEL_KEEPS, *erasing.kept, *erasing.covered, "tenancy.outbox"}
        assert {table.name for table in world.tables} <= {*planned, *spared}
        assert all(erasing.kept.values())
        if world.service == "audit":
            with pytest.raises(TableForgotten, match=r"audit\.events"):
                await plan(session, Erasing())


@pytest.mark.parametrize("world", ["audit"], indirect=True)
@pytest.mark.parametrize(
    "call", ["SELECT audit.erase_records(1)", "SELECT audit.blank_events('-infinity', 1)"]
)
async def test_the_log_of_a_tenant_that_stays_is_not_blanked(world: World, call: str) -> None:
    """Not even for the platform's own job."""
    context = SystemContext(world.mine.tenant_id, "job", world.service)
    async with world.harness.kernel.database.tenant(context) as session:
        with pytest.raises(DBAPIError, match="the tenant is not deleted"):
            await session.execute(text(call))
