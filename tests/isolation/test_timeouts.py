"""Time runs out in every place it can, and the next tenant on the same connection sees own rows only."""

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from common.context import SystemContext
from common.db.errors import driver_error, is_unavailable
from common.db.session import Database
from common.testing.harness import MadeTenant
from tests.isolation.installation import World

EVERYTHING = text("/* unnarrowed */ SELECT DISTINCT tenant_id FROM campaigns.campaigns")


@pytest.fixture
async def world(worlds: Callable[[str], Awaitable[World]]) -> World:
    return await worlds("campaigns")


@pytest.fixture
async def narrow(world: World) -> AsyncIterator[Database]:
    """A pool of one connection, for which nobody waits long."""
    database = world.pool(1, 0.1)
    yield database
    await database.close()


def job(tenant: MadeTenant) -> SystemContext:
    return SystemContext(tenant.tenant_id, "job", "campaigns")


async def sees_own_rows_only(database: Database, tenant: MadeTenant) -> bool:
    async with database.tenant(job(tenant)) as session:
        return set(await session.scalars(EVERYTHING)) == {tenant.tenant_id}


async def test_statement_that_takes_too_long(world: World, narrow: Database) -> None:
    async with narrow.tenant(job(world.mine)) as session:
        await session.execute(text("SET LOCAL statement_timeout = '20ms'"))
        with pytest.raises(Exception, match="statement timeout") as caught:
            await session.execute(text("SELECT pg_sleep(60)"))
        await session.rollback()
        assert set(await session.scalars(EVERYTHING)) == {world.mine.tenant_id}
    assert is_unavailable(caught.value)
    assert await sees_own_rows_only(narrow, world.theirs)


async def test_transaction_that_idles_too_long(
    world: World, narrow: Database, superuser: asyncpg.Connection
) -> None:
    """The server ends the connection itself; the pool gives the next tenant another one."""
    gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
    async with narrow.tenant(job(world.mine)) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))
        while not await superuser.fetchval(gone, pid):
            await superuser.execute("SELECT pg_stat_clear_snapshot()")
        with pytest.raises(Exception, match=r".") as caught:
            await session.execute(EVERYTHING)
    assert is_unavailable(caught.value)
    assert await sees_own_rows_only(narrow, world.theirs)


async def test_lock_that_is_waited_for_too_long(world: World, narrow: Database) -> None:
    holder = world.pool(1)
    rows = text("/* unnarrowed */ SELECT FROM campaigns.campaigns FOR UPDATE")
    try:
        async with holder.tenant(job(world.mine)) as holding:
            await holding.execute(rows)
            async with narrow.tenant(job(world.mine)) as session:
                await session.execute(text("SET LOCAL lock_timeout = '20ms'"))
                with pytest.raises(Exception, match="lock timeout") as caught:
                    await session.execute(rows)
            refusal = driver_error(caught.value)
            assert refusal is not None
            assert refusal.sqlstate == "55P03"
            assert await sees_own_rows_only(narrow, world.theirs), "whose rows nobody holds"
    finally:
        await holder.close()


async def test_connection_that_is_waited_for_too_long(world: World, narrow: Database) -> None:
    async with narrow.tenant(job(world.mine)) as session:
        assert set(await session.scalars(EVERYTHING)) == {world.mine.tenant_id}
        with pytest.raises(PoolTimeout):
            async with narrow.tenant(job(world.theirs)):
                pass
        assert set(await session.scalars(EVERYTHING)) == {world.mine.tenant_id}
    assert await sees_own_rows_only(narrow, world.theirs)
