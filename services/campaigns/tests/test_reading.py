"""Hot reads send entry and statement in one message, and go by nothing but what this entry says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from campaigns.campaign.queries import INSERT, LISTING
from common import clock
from common.context import RequestInfo, UserContext
from common.contracts.auth import SessionEnded, UserDeactivated, UserRoleChanged
from common.contracts.tenants import TenantReactivated, TenantSuspended
from common.db import engine
from common.db.reading import NotAsPresumed, ReadingSession
from common.db.session import Database
from common.db.statements import Statement
from common.ids import new_id
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant, bearer

from .conftest import make

PATH = "/api/v1/campaigns"
WRONG = {"cursor": "nonsense"}
"""Refused before any statement runs."""


@pytest.fixture
async def tenant(service: Harness) -> MadeTenant:
    """Which has a campaign, and whose owner the process has met."""
    made = await service.make_tenant()
    await make(service, made, "/campaigns", name="Spring")
    return made


@pytest.fixture
def caller(service: Harness, tenant: MadeTenant) -> UserContext:
    info = RequestInfo("request-1", "GET", PATH, "127.0.0.1", "test")
    return UserContext(tenant.tenant_id, tenant.owner_id, new_id(), clock.now(), "a@example.com", info)


@pytest.fixture
def database(service: Harness) -> Database:
    return service.kernel.database


def read(database: Database, caller: UserContext) -> ReadingSession:
    session = database.read(caller)
    assert session is not None, "somebody the process has met"
    return session


async def page(session: ReadingSession) -> list[str]:
    records = await session.fetch(LISTING.statement(frozenset()), page_limit=3)
    return [record["name"] for record in records]


async def test_a_page_is_one_transaction_and_leaves_nothing_open(
    database: Database,
    caller: UserContext,
    service_database: Callable[[str], Awaitable[ServiceDatabase]],
) -> None:
    session = read(database, caller)
    assert await page(session) == ["Spring"]
    inside = Statement("SELECT tenancy.current_tenant(), $1::uuid", ("tenant_id",), reads=True)
    assert tuple((await session.fetch(inside))[0]) == (caller.tenant_id, caller.tenant_id)
    superuser = await asyncpg.connect((await service_database("campaigns")).superuser_url)
    left = await superuser.fetch(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    )
    await superuser.close()
    assert left == []


async def test_the_context_ends_with_the_message(database: Database, caller: UserContext) -> None:
    session = read(database, caller)
    await page(session)
    async with database._engine.connect() as connection:  # the one that the page ran on
        found = await connection.exec_driver_sql("SELECT tenancy.current_tenant()")
        assert found.scalar_one() is None


async def test_nobody_is_presumed_before_the_database_has_let_them_in(
    service: Harness, database: Database, tenant: MadeTenant, caller: UserContext
) -> None:
    stranger = UserContext(tenant.tenant_id, new_id(), new_id(), clock.now(), "b@example.com", caller.request)
    assert database.read(stranger) is None
    _, token = await service.make_user(tenant)
    for _ in range(2):
        assert (await service.client.get(PATH, headers=bearer(token))).json()["data"] == []


@pytest.mark.parametrize("params", [{}, WRONG], ids=["a page", "no statement"])
@pytest.mark.parametrize("ending", ["session", "user"])
async def test_whose_standing_has_ended_is_told_so(
    service: Harness, tenant: MadeTenant, ending: str, params: dict[str, str]
) -> None:
    user_id, session_id = tenant.owner_id, new_id()
    headers = bearer(service.issuer.token(tenant.tenant_id, user_id, session_id))
    assert (await service.client.get(PATH, headers=headers, params=params)).status_code in (200, 400, 422)
    at = clock.now()
    ended = (
        SessionEnded(tenant_id=tenant.tenant_id, session_id=session_id, version=2, user_id=user_id, at=at)
        if ending == "session"
        else UserDeactivated(tenant_id=tenant.tenant_id, user_id=user_id, version=2, at=at)
    )
    await service.handle(tenant.tenant_id, ended)
    assert (await service.client.get(PATH, headers=headers, params=params)).status_code == 401


async def test_a_role_taken_away_shows_no_more(service: Harness, tenant: MadeTenant) -> None:
    user_id, token = await service.make_user(tenant, "admin")
    shown = [len((await service.client.get(PATH, headers=bearer(token))).json()["data"])]
    for version, role, previous in ((2, "member", "admin"), (3, "admin", "member")):
        changed = UserRoleChanged.model_validate(
            {"tenant_id": tenant.tenant_id, "user_id": user_id, "version": version}
            | {"role": role, "previous_role": previous}
        )
        await service.handle(tenant.tenant_id, changed)
        shown.append(len((await service.client.get(PATH, headers=bearer(token))).json()["data"]))
    assert shown == [1, 0, 1]


async def test_a_suspension_is_respected_from_the_next_request_on(
    service: Harness, tenant: MadeTenant
) -> None:
    _, token = await service.make_user(tenant)

    async def status() -> int:
        return (await service.client.get(PATH, headers=bearer(token))).status_code

    assert [await status(), await status()] == [200, 200]
    await service.handle(
        tenant.tenant_id, TenantSuspended(tenant_id=tenant.tenant_id, version=2, reason="unpaid")
    )
    assert [await status(), await status()] == [403, 403]
    await service.handle(tenant.tenant_id, TenantReactivated(tenant_id=tenant.tenant_id, version=3))
    assert [await status(), await status()] == [200, 200]


async def test_nothing_is_changed_in_it(database: Database, caller: UserContext) -> None:
    with pytest.raises(TypeError, match="reads"):
        await read(database, caller).fetch(INSERT)


async def test_a_statement_that_fails_takes_nothing_along(database: Database, caller: UserContext) -> None:
    broken = Statement("SELECT 1 / 0 WHERE $1::uuid IS NOT NULL", ("tenant_id",), reads=True)
    session = read(database, caller)
    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await session.fetch(broken)
        assert await page(session) == ["Spring"]


async def test_a_value_that_the_driver_refuses_takes_nothing_along(
    database: Database, caller: UserContext
) -> None:
    """The entry is on its way then, and its answer nobody's."""
    session = read(database, caller)
    for _ in range(3):
        with pytest.raises(asyncpg.DataError):
            await session.fetch(LISTING.statement(frozenset()), page_limit="three")
        assert await page(session) == ["Spring"]


async def test_a_refused_entry_behind_a_value_that_the_driver_refuses_keeps_no_connection(
    database: Database, caller: UserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server passes over whatever comes after its error, until the driver asks it to begin anew."""
    session = read(database, caller)
    assert await page(session) == ["Spring"]
    with monkeypatch.context() as forging:
        forging.setattr(database._prover, "user", lambda *_: b"forged")
        async with asyncio.timeout(10):
            for _ in range(3):
                with pytest.raises(asyncpg.DataError):
                    await session.fetch(LISTING.statement(frozenset()), page_limit="three")
    assert await page(session) == ["Spring"]


async def test_a_cancelled_request_leaves_a_clean_connection(database: Database, caller: UserContext) -> None:
    slow = Statement("SELECT pg_sleep(60) WHERE $1::uuid IS NOT NULL", ("tenant_id",), reads=True)
    session = read(database, caller)
    task = asyncio.create_task(session.fetch(slow))
    while not await _is_asleep(database):
        pass
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await page(session) == ["Spring"]
    assert not await _is_asleep(database)


async def _is_asleep(database: Database) -> bool:
    async with database._engine.connect() as connection:
        found = await connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'PgSleep'"
        )
        return bool(found.scalar_one())


async def test_a_server_that_hung_up_is_asked_again(
    service: Harness,
    tenant: MadeTenant,
    database: Database,
    caller: UserContext,
) -> None:
    ending = Statement(
        "SELECT pg_terminate_backend(pg_backend_pid()) WHERE $1::uuid IS NOT NULL", ("tenant_id",), reads=True
    )
    with pytest.raises(NotAsPresumed):
        await read(database, caller).fetch(ending)
    assert (await service.client.get(PATH, headers=tenant.headers)).status_code == 200


async def test_a_row_of_an_entry_is_read_as_the_driver_reads_it(
    database: Database, caller: UserContext
) -> None:
    """The presumption was made of the driver's row, the confirmation is of the bytes."""
    session = read(database, caller)
    await session.confirm()
    standing: Any = session.standing
    assert (standing.role, standing.tenant_status) == ("owner", "active")
    assert standing.features


async def test_where_one_connection_has_died_others_are_made_anew(
    service: Harness, tenant: MadeTenant, database: Database, caller: UserContext
) -> None:
    """SQLAlchemy trusts none of a pool then, and making one is waiting."""
    assert await page(read(database, caller)) == ["Spring"]
    with pytest.raises(DBAPIError):
        async with database._engine.connect() as connection:
            await connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    for _ in range(service.kernel.settings.database_pool_size + 1):
        assert (await service.client.get(PATH, headers=tenant.headers)).status_code == 200
    pool: Any = database._engine.sync_engine.pool
    assert pool.is_ready


async def test_an_old_connection_is_replaced_without_anybody_noticing(
    database: Database, caller: UserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To replace one is to wait for the server, and who takes a ready connection does not wait."""
    monkeypatch.setattr(engine, "RECYCLE_SECONDS", -1.0)
    inside = Statement("SELECT pg_backend_pid(), $1::uuid", ("tenant_id",), reads=True)
    session = read(database, caller)
    servers = [(await session.fetch(inside))[0][0] for _ in range(4)]
    assert len(set(servers)) == 4
    async with database.hot(caller) as hot:
        assert (await hot.fetch(inside))[0][0] not in servers
