"""Every kind of session keeps tenants apart on the connections that all of them share."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from uuid import UUID

import pytest
from sqlalchemy import text

from common import clock
from common.context import RequestInfo, SystemContext, UserContext
from common.db.hot import HotSession
from common.db.session import Database, TenantSession
from common.db.statements import Statement
from common.ids import new_id
from common.testing.harness import MadeTenant
from tests.isolation.installation import World

EVERYTHING = "/* unnarrowed */ SELECT DISTINCT tenant_id FROM campaigns.campaigns"
HOT = Statement(f"{EVERYTHING} WHERE $1::uuid IS NOT NULL", ("tenant_id",), reads=True)
KINDS = ("job", "event", "user", "hot", "reading")
MOST_TURNS = 60
"""Of the event loop, more than any visit takes."""


@pytest.fixture
async def world(worlds: Callable[[str], Awaitable[World]]) -> World:
    return await worlds("campaigns")


@pytest.fixture
async def narrow(world: World) -> AsyncIterator[Database]:
    """A pool of one connection, which all tenants and kinds must share."""
    database = await opened(world, 1)
    yield database
    await database.close()


async def opened(world: World, size: int, patience: float = 5) -> Database:
    """A pool that was used: what SQLAlchemy asks of a server at first it gives up in a way of its own."""
    database = world.pool(size, patience)
    await visit(database, world.theirs, "job")
    return database


async def visit(database: Database, tenant: MadeTenant, kind: str) -> None:
    """A session of this kind sees its own tenant's rows, in each of its transactions."""
    if kind == "reading" and (reading := database.read(_user(tenant))) is not None:
        for _ in range(3):
            assert {row["tenant_id"] for row in await reading.fetch(HOT)} == {tenant.tenant_id}
        return
    if kind in ("hot", "reading"):  # whom the process has not met, it does not presume anything of
        async with database.hot(_user(tenant)) as hot:
            await _look(hot, tenant)
        return
    context = _user(tenant) if kind == "user" else SystemContext(tenant.tenant_id, kind, "campaigns")
    async with database.tenant(context) as session:
        await _look(session, tenant)


def _user(tenant: MadeTenant) -> UserContext:
    request = RequestInfo("r-1", "GET", "/x", "127.0.0.1", "tests")
    return UserContext(tenant.tenant_id, tenant.owner_id, new_id(), clock.now(), "olga@example.com", request)


async def _look(session: TenantSession | HotSession, tenant: MadeTenant) -> None:
    for end in (session.commit, session.rollback, session.commit):
        assert await _tenants_seen(session) == {tenant.tenant_id}
        await end()


async def _tenants_seen(session: TenantSession | HotSession) -> set[UUID]:
    if isinstance(session, HotSession):
        return {row["tenant_id"] for row in await session.fetch(HOT)}
    return set(await session.scalars(text(EVERYTHING)))


async def cancelled(work: Coroutine[None, None, None], after: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(work)
    await after()
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert ended is None or isinstance(ended, asyncio.CancelledError), ended


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelled_anywhere_it_leaves_nothing_for_the_next_of_any_kind(
    world: World, narrow: Database, kind: str
) -> None:
    for turns in range(MOST_TURNS):

        async def pass_turns(turns: int = turns) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        await cancelled(visit(narrow, world.mine, kind), pass_turns)
        async with asyncio.timeout(20):
            await visit(narrow, world.theirs, KINDS[turns % len(KINDS)])


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelled_at_any_time_it_leaves_nothing_for_the_next_of_any_kind(
    world: World, narrow: Database, kind: str
) -> None:
    choice = random.Random(3)

    async def pass_time() -> None:
        await asyncio.sleep(choice.random() * 0.008)

    for _ in range(50):
        await cancelled(visit(narrow, world.mine, kind), pass_time)
        async with asyncio.timeout(20):
            await visit(narrow, world.theirs, choice.choice(KINDS))


async def test_two_hundred_of_all_kinds_on_five_connections_see_their_own_rows(world: World) -> None:
    """A third of them is cancelled somewhere."""
    database, choice = await opened(world, 5, 60), random.Random(7)

    async def come(number: int) -> None:
        work = visit(database, choice.choice((world.mine, world.theirs)), choice.choice(KINDS))
        if number % 3:
            await work
        else:
            await cancelled(work, lambda: asyncio.sleep(choice.random() * 0.05))

    try:
        await asyncio.gather(*(come(number) for number in range(200)))
    finally:
        await database.close()
