"""The session layer keeps tenants apart on shared connections, whatever happens in between."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from campaigns.models import CampaignRow
from common.context import SystemContext
from common.db.errors import is_unavailable, is_wall_violation
from common.db.session import Database, TenantSession
from common.ids import new_id
from common.testing.harness import MadeTenant
from tests.isolation.installation import World

EVERYTHING = text("/* unnarrowed */ SELECT DISTINCT tenant_id FROM campaigns.campaigns")
PID = text("SELECT pg_backend_pid()")


@pytest.fixture
async def world(worlds: Callable[[str], Awaitable[World]]) -> World:
    return await worlds("campaigns")


@pytest.fixture
async def narrow(world: World) -> AsyncIterator[Database]:
    """A pool of one connection, which all tenants must share."""
    database = world.pool(1)
    yield database
    await database.close()


def job(tenant: MadeTenant) -> SystemContext:
    return SystemContext(tenant.tenant_id, "job", "campaigns")


async def tenants_seen(session: TenantSession) -> set[UUID]:
    """The tenants of the rows that unfiltered SQL shows."""
    return set(await session.scalars(EVERYTHING))


async def visit(database: Database, tenant: MadeTenant) -> int:
    """Somebody else's request on the same pool; the pid of the connection it had."""
    async with database.tenant(job(tenant)) as session:
        assert await tenants_seen(session) == {tenant.tenant_id}
        pid: int = (await session.execute(PID)).scalar_one()
        await session.commit()
    return pid


async def test_alternating_tenants_on_one_connection_see_their_own_rows(
    world: World, narrow: Database
) -> None:
    pids = {await visit(narrow, tenant) for _ in range(25) for tenant in (world.mine, world.theirs)}
    assert len(pids) == 1, "it was one connection all the time"


@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_query_after_the_transactions_end_is_in_the_own_tenant(
    world: World, narrow: Database, ending: str
) -> None:
    async with narrow.tenant(job(world.mine)) as session:
        await session.execute(EVERYTHING)
        await (session.commit() if ending == "commit" else session.rollback())
        await visit(narrow, world.theirs)
        assert await tenants_seen(session) == {world.mine.tenant_id}


async def test_refresh_after_commit_is_in_the_own_tenant(world: World, narrow: Database) -> None:
    async with narrow.tenant(job(world.mine)) as session:
        row = (await session.scalars(select(CampaignRow))).first()
        assert row is not None
        name = row.name
        await session.commit()
        await visit(narrow, world.theirs)
        await session.refresh(row)
        assert (row.tenant_id, row.name) == (world.mine.tenant_id, name)


async def test_rolled_back_savepoint_stays_in_the_own_tenant(world: World, narrow: Database) -> None:
    async with narrow.tenant(job(world.mine)) as session:
        with pytest.raises(DBAPIError):
            async with session.begin_nested():
                await session.execute(text("SELECT 1/0"))
        assert await tenants_seen(session) == {world.mine.tenant_id}


async def test_cancelled_query_leaves_nothing_for_the_next_tenant(world: World, narrow: Database) -> None:
    running = asyncio.Event()

    async def slow() -> None:
        async with narrow.tenant(job(world.mine)) as session:
            await session.execute(EVERYTHING)
            running.set()
            await session.execute(text("SELECT pg_sleep(60)"))

    for _ in range(5):
        running.clear()
        task = asyncio.create_task(slow())
        await running.wait()
        task.cancel()
        await visit(narrow, world.theirs)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelled_anywhere_leaves_nothing_for_the_next_tenant(world: World, narrow: Database) -> None:
    """Cancel after every number of event loop turns, so that each await of the entry gets its turn."""
    for turns in range(40):
        task = asyncio.create_task(visit(narrow, world.mine))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await visit(narrow, world.theirs)


async def test_failed_statement_leaves_nothing_for_the_next_tenant(world: World, narrow: Database) -> None:
    with pytest.raises(DBAPIError):
        async with narrow.tenant(job(world.mine)) as session:
            await session.execute(text("SELECT 1/0"))
    await visit(narrow, world.theirs)


async def test_killed_connection_leaves_nothing_for_the_next_tenant(
    world: World, narrow: Database, superuser: asyncpg.Connection
) -> None:
    async with narrow.tenant(job(world.mine)) as session:
        pid = (await session.execute(PID)).scalar_one()
        await superuser.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        with pytest.raises(DBAPIError) as caught:
            await session.execute(EVERYTHING)
    assert is_unavailable(caught.value)
    assert await visit(narrow, world.theirs) != pid


async def test_settings_left_on_the_connection_do_not_carry_over(world: World, narrow: Database) -> None:
    """A statement that pins context and seal to the connection gives the next tenant nothing of mine."""
    pin = text(
        "SELECT set_config(name, current_setting(name), false) "
        "FROM unnest(ARRAY['tenancy.context', 'tenancy.seal']) AS name"
    )
    async with narrow.tenant(job(world.mine)) as session:
        await session.execute(pin)
        await session.commit()
    await visit(narrow, world.theirs)


async def test_two_hundred_mixed_tenants_on_five_connections_see_their_own_rows(world: World) -> None:
    database = world.pool(5, 60)
    others = [await world.harness.make_tenant(f"Crowd {number}") for number in range(18)]
    for tenant in others:
        async with database.tenant(job(tenant)) as session:
            session.add(CampaignRow(campaign_id=new_id(), workspace_id=tenant.workspace_id, name="Crowd"))
            await session.commit()
    choice = random.Random(7)

    async def request(tenant: MadeTenant) -> int:
        async with database.tenant(job(tenant)) as session:
            for _ in range(choice.randint(1, 4)):
                assert await tenants_seen(session) == {tenant.tenant_id}
                rows = (await session.scalars(select(CampaignRow))).all()
                assert {row.tenant_id for row in rows} == {tenant.tenant_id}
                await asyncio.sleep(choice.random() / 200)
                await choice.choice((session.commit, session.rollback))()
            return (await session.execute(PID)).scalar_one()

    crowd = [choice.choice([world.mine, world.theirs, *others]) for _ in range(200)]
    try:
        pids = await asyncio.gather(*(request(tenant) for tenant in crowd))
    finally:
        await database.close()
    assert len(set(pids)) <= 5


async def test_foreign_rows_cannot_be_got_changed_or_made(world: World, narrow: Database) -> None:
    async with narrow.tenant(job(world.theirs)) as session:
        foreign = (await session.scalars(select(CampaignRow.campaign_id))).first()
    async with narrow.tenant(job(world.mine)) as session:
        assert await session.get(CampaignRow, (world.theirs.tenant_id, foreign)) is None
        changed: Any = await session.execute(
            update(CampaignRow).where(CampaignRow.campaign_id == foreign).values(name="Taken")
        )
        assert changed.rowcount == 0
        session.add(
            CampaignRow(
                tenant_id=world.theirs.tenant_id,
                campaign_id=new_id(),
                workspace_id=world.theirs.workspace_id,
                name="Planted",
            )
        )
        with pytest.raises(DBAPIError) as caught:
            await session.flush()
        assert is_wall_violation(caught.value)


async def test_session_without_a_context_fails_closed(world: World, narrow: Database) -> None:
    async with narrow.tenant(job(world.mine)) as honest:
        engine = honest.bind
    async with TenantSession(engine) as session:
        with pytest.raises(AttributeError):
            await session.execute(EVERYTHING)
