"""Transactions that begin with their first statement."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
from asyncpg import connection as driver
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from common.context import SystemContext
from common.db import connection as connection_module
from common.db.connection import Connection
from common.db.engine import make_engine
from common.db.hot import give_back, take
from common.db.proofs import Prover
from common.db.session import Database
from common.ids import new_id
from common.testing.databases import ServiceDatabase

Databases = Callable[[str], Awaitable[ServiceDatabase]]
_NOW = "SELECT transaction_timestamp()"
_INSIDE = "SELECT tenancy.current_tenant()"
_IDLE = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'idle'"


@pytest.fixture
async def made(service_database: Databases) -> ServiceDatabase:
    return await service_database("workspaces")


@pytest.fixture
async def watcher(made: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    async with opened(made) as connection:
        yield connection


@asynccontextmanager
async def opened(made: ServiceDatabase) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(made.superuser_url, connection_class=Connection)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_transaction_lasts_from_its_first_statement_to_its_commit(made: ServiceDatabase) -> None:
    async with opened(made) as connection:
        transaction = connection.transaction()
        await transaction.start()
        began = await connection.fetchval(_NOW)
        assert connection.is_in_transaction()
        assert await connection.fetchval(_NOW) == began, "one transaction"
        await transaction.commit()
        assert not connection.is_in_transaction()
        assert await connection.fetchval(_NOW) > began


@pytest.mark.parametrize("cached", [False, True], ids=["new", "prepared"])
async def test_beginning_costs_no_message(made: ServiceDatabase, cached: bool) -> None:
    """What is asked first answers for both: the driver has heard nothing of a transaction before."""
    async with opened(made) as connection:
        statement = await connection.prepare(_NOW)
        transaction = connection.transaction()
        await transaction.start()
        assert not connection.is_in_transaction(), "nobody has waited for an answer"
        await (statement.fetch() if cached else connection.fetch("SELECT 1, $1::int", 1))
        assert connection.is_in_transaction()
        await transaction.rollback()


@pytest.mark.parametrize("taken", [0, 9], ids=["nothing", "a part"])
async def test_what_the_kernel_does_not_take_is_written(
    made: ServiceDatabase, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    put = connection_module._put_before_next
    monkeypatch.setattr(
        connection_module, "_put_before_next", lambda transport, data: taken and put(transport, data[:taken])
    )
    async with opened(made) as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await connection.fetchval("SELECT 1") == 1
        assert connection.is_in_transaction()
        await transaction.commit()


@pytest.mark.parametrize("broken", ["SELECT 1/0", "SELECT nothing_like_it()", "nonsense"])
async def test_a_first_statement_that_fails_leaves_nothing_open(
    made: ServiceDatabase, watcher: asyncpg.Connection, broken: str
) -> None:
    async with opened(made) as connection:
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.PostgresError):
            await connection.fetch(broken)
        assert connection.is_in_transaction(), "a failed one, which takes nothing but its end"
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await connection.fetch(_NOW)
        await transaction.rollback()
        assert await watcher.fetchval(_IDLE, connection.get_server_pid()) == 1
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_transaction_without_statements_leaves_nothing_open(
    made: ServiceDatabase, watcher: asyncpg.Connection
) -> None:
    async with opened(made) as connection:
        for ending in ("commit", "rollback"):
            transaction = connection.transaction()
            await transaction.start()
            await getattr(transaction, ending)()
            assert not connection.is_in_transaction()
            assert await watcher.fetchval(_IDLE, connection.get_server_pid()) == 1


@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_a_begin_that_fails_is_told_of_by_what_comes_next(
    made: ServiceDatabase, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    broken = connection_module._BEGIN.replace(b"BEGIN", b"BEGUN")
    async with opened(made) as connection:
        transaction = connection.transaction()
        with monkeypatch.context() as patch:
            patch.setattr(connection_module, "_BEGIN", broken)
            await transaction.start()
        with pytest.raises(asyncpg.PostgresSyntaxError):
            async with asyncio.timeout(5):
                await getattr(transaction, ending)()
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT 1") == 1


async def test_other_kinds_of_transactions_are_the_drivers_own(made: ServiceDatabase) -> None:
    async with opened(made) as connection, connection.transaction(isolation="serializable", readonly=True):
        assert await connection.fetchval("SHOW transaction_isolation") == "serializable"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("CREATE TABLE nobody (id int)")


async def test_a_connection_that_has_died_says_so(made: ServiceDatabase) -> None:
    async with opened(made) as connection:
        await connection.close()
        with pytest.raises(asyncpg.InterfaceError):
            await connection.transaction().start()


def test_a_socket_that_is_dead_is_left_to_the_transport() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()

    class Transport:
        def get_extra_info(self, name: str) -> socket.socket | None:
            return ours if name == "socket" else None

        def get_write_buffer_size(self) -> int:
            return 0

    with ours:
        with pytest.raises(BrokenPipeError):
            ours.send(b"the positive control")
        assert connection_module._put_before_next(Transport(), b"BEGIN") == 0  # pyright: ignore[reportPrivateUsage]


async def test_tenants_are_entered_on_such_connections(made: ServiceDatabase) -> None:
    database = Database(made.app_url, made.tenancy_key, pool_size=1, pooler_mode=made.pooler_mode)
    async with database.tenant(SystemContext(new_id(), "job", "workspaces")) as session:
        raw = await (await session.connection()).get_raw_connection()
        assert isinstance(raw.driver_connection, Connection)
    await database.close()


async def test_engines_end_what_they_began(made: ServiceDatabase) -> None:
    engine = make_engine(made.app_url, pool_size=1, pool_timeout=5)
    for _ in range(2):
        async with engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await connection.exec_driver_sql("SELECT 1")
            assert raw.is_in_transaction()
        assert not raw.is_in_transaction(), "the pool has it back"
    await engine.dispose()


async def test_a_connection_that_died_while_another_was_made_is_not_taken_for_ready(
    made: ServiceDatabase,
) -> None:
    """The pool trusts none of the two, and taking one waits for another."""
    made_engine = make_engine(made.app_url, pool_size=2, pool_timeout=5)
    engine = made_engine.sync_engine
    dead = await take(engine)

    @event.listens_for(engine, "connect", once=True)
    def meanwhile(*_: object) -> None:
        engine.pool._invalidate(dead)

    early = await take(engine)
    late = await take(engine)
    raw: Any = late.driver_connection
    assert await raw.fetchval("SELECT 1") == 1
    for connection in (early, late):
        give_back(connection)
    await made_engine.dispose()


async def test_the_entry_of_an_event_leaves_with_the_first_statement(made: ServiceDatabase) -> None:
    """The driver has heard nothing of it, and the statement is inside the tenant all the same."""
    database, tenant = Database(made.app_url, made.tenancy_key, pool_size=1), new_id()
    for _ in range(2):
        async with database.tenant(SystemContext(tenant, "event", "workspaces")) as session:
            raw: Any = (await (await session.connection()).get_raw_connection()).driver_connection
            assert not raw.is_in_transaction(), "nobody has waited for an answer"
            assert (await session.execute(text(_INSIDE))).scalar_one() == tenant
            assert raw.is_in_transaction()
            await session.commit()
    await database.close()


async def test_rows_of_the_first_statement_are_its_own(made: ServiceDatabase) -> None:
    database = Database(made.app_url, made.tenancy_key, pool_size=1)
    for _ in range(2):
        async with database.tenant(SystemContext(new_id(), "event", "workspaces")) as session:
            assert (await session.execute(text("SELECT 7 AS n"))).all() == [(7,)]
    await database.close()


@pytest.mark.parametrize("cached", [False, True], ids=["new", "prepared"])
@pytest.mark.parametrize("ending", ["statement", "commit", "rollback"])
async def test_an_entry_that_is_refused_is_told_of_by_what_comes_next(
    made: ServiceDatabase, cached: bool, ending: str
) -> None:
    honest = Database(made.app_url, made.tenancy_key, pool_size=1)
    context = SystemContext(new_id(), "event", "workspaces")
    if cached:
        async with honest.tenant(context) as session:
            await session.execute(text("SELECT 1"))
    honest._prover = Prover("ab" * 32)
    async with asyncio.timeout(5), honest.tenant(context) as session:
        endings = {"commit": session.commit, "rollback": session.rollback}
        with pytest.raises(DBAPIError, match="proof refused"):
            await endings.get(ending, partial(session.execute, text(_INSIDE)))()
    honest._prover = Prover(made.tenancy_key)
    async with honest.tenant(context) as session:
        assert (await session.execute(text(_INSIDE))).scalar_one() == context.tenant_id
    await honest.close()


# What is heard before the driver ---------------------------------------------------------------------


class Driver:
    """Stands where the driver's protocol is."""

    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data


def said(kind: bytes, body: bytes = b"") -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


NOTICE, ROW = said(b"N", b"mind"), said(b"D", b"\0\1" + b"D2C" * 9)
THEIRS = said(b"2") + said(b"D", b"their row") + said(b"C", b"SELECT 1\0") + said(b"Z", b"I")
REFUSED = said(b"E", b"refused") + said(b"Z", b"I")


@pytest.mark.parametrize("size", [1, 2, 5, 7, 1000])
@pytest.mark.parametrize(
    ("answer", "theirs", "row"),
    [
        (said(b"2") + ROW + said(b"C", b"SELECT 1\0") + THEIRS, THEIRS, ROW[5:]),
        (NOTICE + said(b"2") + NOTICE + ROW + said(b"C", b"S\0") + THEIRS, NOTICE * 2 + THEIRS, ROW[5:]),
        (said(b"2") + said(b"C", b"SELECT 0\0") + THEIRS, THEIRS, None),
        (said(b"2") + REFUSED, REFUSED, None),
    ],
    ids=["a row", "notices", "no row", "an error"],
)
async def test_the_driver_hears_what_is_its_own(
    answer: bytes, theirs: bytes, row: bytes | None, size: int
) -> None:
    driver = Driver()
    ear = connection_module._Ear(driver)
    ear.listen()
    for at in range(0, len(answer), size):
        ear.data_received(answer[at : at + size])
    assert driver.heard == theirs
    assert ear.forget() == row
    ear.data_received(THEIRS)
    assert driver.heard == theirs + THEIRS


async def test_a_statement_written_first_is_of_one_transaction_with_the_next(made: ServiceDatabase) -> None:
    async with opened(made) as connection:
        first = await connection.prepare(_NOW)
        second = await connection.prepare(_NOW)
        for _ in range(2):
            connection.write_first(first.get_name(), ())
            (record,) = await second.fetch()
            row = connection.heard_first()
            assert row is not None
            assert row[6:] == connection_module._binary(record[0])
            assert not connection.is_in_transaction(), "it has ended with the message"


async def test_the_end_of_a_transaction_without_statements_has_a_secret_name(made: ServiceDatabase) -> None:
    """The driver numbers the statements that it names itself, so another tenant could have made the next."""
    async with opened(made) as connection:
        for number in range(driver._uid, driver._uid + 20):
            planted = (
                f"PREPARE \"__asyncpg_stmt_{number:x}__\" AS SELECT set_config('x.loot', 'taken', false)"
            )
            await connection.execute(planted)
        for end in ("commit", "rollback"):
            transaction = connection.transaction()
            await transaction.start()
            await getattr(transaction, end)()
            assert not connection.is_in_transaction()
        asked = await connection.prepare("SELECT current_setting('x.loot', true)", name="asked")
        assert not await asked.fetchval()
