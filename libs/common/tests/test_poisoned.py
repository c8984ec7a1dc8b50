"""What SQL of one tenant leaves behind on a pooled connection fails the next tenant once at most."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from libs.common.tests.backbone import Databases
from sqlalchemy import text

from common import clock
from common.context import RequestInfo, SystemContext, UserContext
from common.db.errors import is_unavailable
from common.db.session import Database
from common.db.statements import Statement
from common.ids import new_id
from common.testing.harness import MadeTenant, harness
from workspaces.__main__ import SERVICE

_WRITE = "UPDATE tenancy.idempotency_keys SET status = status WHERE tenant_id = $1"
_COMPILED = Statement(_WRITE, ("tenant_id",))
_TEXT = text(_WRITE.replace("$1", ":tenant"))
_PID = "SELECT pg_backend_pid()"


def user(tenant: MadeTenant) -> UserContext:
    info = RequestInfo("request-1", "GET", "/", "127.0.0.1", "test")
    return UserContext(tenant.tenant_id, tenant.owner_id, new_id(), clock.now(), "a@example.com", info)


async def hot(database: Database, tenant: MadeTenant) -> None:
    async with database.hot(user(tenant)) as session:
        await session.fetch(_COMPILED)
        await session.commit()


async def compiled(database: Database, tenant: MadeTenant) -> None:
    async with database.tenant(user(tenant)) as session:
        await session.fetch(_COMPILED)
        await session.commit()


async def ordinary(database: Database, tenant: MadeTenant) -> None:
    async with database.tenant(user(tenant)) as session:
        await session.execute(_TEXT, {"tenant": tenant.tenant_id})
        await session.commit()


async def told(database: Database, tenant: MadeTenant) -> None:
    """The entry is not waited for."""
    async with database.tenant(SystemContext(tenant.tenant_id, "event", "workspaces")) as session:
        await session.execute(_TEXT, {"tenant": tenant.tenant_id})
        await session.commit()


async def failure_of(work: Awaitable[None]) -> BaseException | None:
    (failure,) = await asyncio.gather(work, return_exceptions=True)
    return failure


Way = Callable[[Database, MadeTenant], Awaitable[None]]


@asynccontextmanager
async def one_connection(
    service_database: Databases,
) -> AsyncIterator[tuple[Database, MadeTenant, MadeTenant]]:
    """A pool of one connection, which two tenants must share."""
    made = await service_database("workspaces")
    async with harness(SERVICE, made) as service:
        tenants = await service.make_tenant(), await service.make_tenant()
    database = Database(made.app_url, made.tenancy_key, pool_size=1)
    try:
        yield database, *tenants
    finally:
        await database.close()


@pytest.mark.parametrize("way", [hot, compiled, ordinary, told], ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_transaction_isolation", "repeatable read"),
        ("default_transaction_read_only", "on"),
        ("row_security", "off"),
        ("statement_timeout", "1ms"),
        ("synchronous_commit", "local"),
        ("TimeZone", "Pacific/Kiritimati"),
    ],
)
async def test_what_one_tenant_has_set_holds_for_no_other(
    service_database: Databases, way: Way, name: str, value: str
) -> None:
    """A commit that does not wait for the disk, say, would lose what the next tenant was told is kept."""
    show = text(f"SELECT pg_backend_pid(), current_setting('{name}')")
    async with one_connection(service_database) as (database, mine, theirs):
        async with database.tenant(SystemContext(mine.tenant_id, "job", "workspaces")) as session:
            before = (await session.execute(show)).one()
            await session.execute(text(f"SET {name} = '{value}'"))
            await session.commit()
            assert before[1] != value
        await way(database, theirs)
        async with database.tenant(SystemContext(theirs.tenant_id, "job", "workspaces")) as session:
            after = (await session.execute(show)).one()
            if name == "default_transaction_isolation":
                assert await session.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert after == before, "on the same connection"


@pytest.mark.parametrize("way", [hot, compiled, ordinary, told], ids=lambda way: way.__name__)
async def test_a_connection_that_fails_everybody_is_dropped(service_database: Databases, way: Way) -> None:
    async with one_connection(service_database) as (database, mine, theirs):
        await way(database, theirs)
        async with database.tenant(SystemContext(mine.tenant_id, "job", "workspaces")) as session:
            before = await session.scalar(text(_PID))
            await session.execute(text("DEALLOCATE ALL"))
            await session.commit()
        failure = await failure_of(way(database, theirs))
        assert failure is None or is_unavailable(failure), "none that would count towards a dead letter"
        await way(database, theirs)
        async with database.tenant(SystemContext(theirs.tenant_id, "job", "workspaces")) as session:
            after = await session.scalar(text(_PID))
        assert after != before, "another connection"


@pytest.mark.parametrize("way", [hot, compiled, ordinary, told], ids=lambda way: way.__name__)
async def test_a_connection_is_kept_when_its_user_is_refused(service_database: Databases, way: Way) -> None:
    """The negative control: a missing privilege is the statement's own fault."""
    async with one_connection(service_database) as (database, mine, theirs):
        pids: list[int | None] = []
        for tenant in (mine, theirs):
            await way(database, tenant)
            async with database.tenant(SystemContext(tenant.tenant_id, "job", "workspaces")) as session:
                pids.append(await session.scalar(text(_PID)))
                with pytest.raises(Exception, match="permission denied"):
                    await session.execute(text("SELECT * FROM tenancy.keys"))
        assert pids[0] == pids[1]
