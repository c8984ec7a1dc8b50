"""Writes as a service's own role reach the entered tenant's rows only."""

import asyncpg

from tests.isolation.attacker import Attacker
from tests.isolation.installation import Table, World

REFUSED = "42501"
DUPLICATE = "23505"
REFERENCED = "23503"
NO_JOBS = {("INSERT", "auth.operators")}
"""See `test_only_what_is_done_with_operators_changes_them`."""


def _insert(table: Table, without: str = "") -> str:
    columns = ", ".join(column for column in table.columns if column != without)
    return (
        f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE "
        f"SELECT {columns} FROM jsonb_populate_record(NULL::{table.name}, $1::jsonb)"
    )


async def _row(superuser: asyncpg.Connection, table: Table, owner: object, **changes: object) -> str:
    """A row of the owner's as JSON, changed."""
    statement = f"SELECT to_jsonb(t) || $2::jsonb FROM {table.name} AS t WHERE tenant_id = $1 LIMIT 1"
    pairs = ", ".join(f'"{name}": "{value}"' for name, value in changes.items())
    found: str = await superuser.fetchval(statement, owner, f"{{{pairs}}}")
    return found


async def _writable(superuser: asyncpg.Connection, world: World, privilege: str) -> list[Table]:
    """The tables on which the app role has the privilege, and a job may use it."""
    app = f"{world.service}_app"
    return [
        table
        for table in world.tables
        if (privilege, table.name) not in NO_JOBS
        and await superuser.fetchval("SELECT has_table_privilege($1, $2, $3)", app, table.name, privilege)
    ]


async def test_inserting_for_another_tenant_is_refused(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    """A copy of a row of theirs as it is, and one of mine that names them: the wall stands before any key."""
    mine, theirs = world.mine.tenant_id, world.theirs.tenant_id
    states: dict[str, list[str]] = {}
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        for table in world.tables:
            rows = [
                await _row(superuser, table, theirs),
                await _row(superuser, table, mine, tenant_id=theirs),
            ]
            states[table.name] = [await attacker.sqlstate(_insert(table), row) for row in rows]
    assert states == {table.name: [REFUSED, REFUSED] for table in world.tables}


async def test_inserting_for_the_own_tenant_reaches_the_keys(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    """The same statement with an own row passes the wall and is stopped by the primary key only."""
    states: dict[str, str] = {}
    tables = await _writable(superuser, world, "INSERT")
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        for table in tables:
            row = await _row(superuser, table, world.mine.tenant_id)
            states[table.name] = await attacker.sqlstate(_insert(table), row)
    assert states == {table.name: DUPLICATE for table in tables}


async def test_inserting_without_a_tenant_fills_in_the_entered_one(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    """A copy of an own row that names no tenant meets the row it is a copy of."""
    states: dict[str, str] = {}
    tables = await _writable(superuser, world, "INSERT")
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        for table in tables:
            row = await _row(superuser, table, world.mine.tenant_id)
            states[table.name] = await attacker.sqlstate(_insert(table, without="tenant_id"), row)
    assert states == {table.name: DUPLICATE for table in tables}


async def test_moving_rows_to_another_tenant_is_refused(world: World, attacker: Attacker) -> None:
    states: dict[str, str] = {}
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        for table in world.tables:
            statement = f"UPDATE {table.name} SET tenant_id = $1"
            states[table.name] = await attacker.sqlstate(statement, world.theirs.tenant_id)
    assert states == {table.name: REFUSED for table in world.tables}


async def test_update_without_where_touches_own_rows_only(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    for table in await _writable(superuser, world, "UPDATE"):
        async with attacker.sql.transaction():
            await attacker.enter(world.mine)
            own = await attacker.sql.fetchval(f"SELECT count(*) FROM {table.name}")
            touched = await attacker.sql.execute(f"UPDATE {table.name} SET tenant_id = tenant_id")
            assert touched == f"UPDATE {own}", table.name
            assert own > 0, table.name
            foreign = await attacker.sql.execute(
                f"UPDATE {table.name} SET tenant_id = tenant_id WHERE tenant_id <> $1", world.mine.tenant_id
            )
            assert foreign == "UPDATE 0", table.name


async def test_delete_without_where_touches_own_rows_only(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    for table in await _writable(superuser, world, "DELETE"):
        async with attacker.sql.transaction():
            await attacker.enter(world.mine)
            own = await attacker.sql.fetchval(f"SELECT count(*) FROM {table.name}")
            delete = f"DELETE FROM {table.name}"
            foreign = await attacker.sql.execute(f"{delete} WHERE tenant_id <> $1", world.mine.tenant_id)
            assert foreign == "DELETE 0", table.name
            await attacker.sql.execute("SAVEPOINT before")
            if await attacker.sqlstate(delete) != REFERENCED:
                assert await attacker.sql.execute(delete) == f"DELETE {own}", table.name
            await attacker.sql.execute("ROLLBACK TO before")


async def test_nothing_can_be_written_outside_a_tenant(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    async with attacker.sql.transaction():
        await attacker.forge(f"system:job|{world.theirs.tenant_id}", "00" * 32)
        for table in await _writable(superuser, world, "INSERT"):
            row = await _row(superuser, table, world.theirs.tenant_id)
            assert await attacker.sqlstate(_insert(table), row) == REFUSED, table.name
        for table in await _writable(superuser, world, "UPDATE"):
            update = f"UPDATE {table.name} SET tenant_id = tenant_id"
            assert await attacker.sql.execute(update) == "UPDATE 0", table.name
        for table in await _writable(superuser, world, "DELETE"):
            assert await attacker.sql.execute(f"DELETE FROM {table.name}") == "DELETE 0", table.name


async def test_a_users_transaction_cannot_change_what_the_platform_knows_of_it(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    """Roles, standing and revocations are written in system contexts only, which a user cannot forge."""
    async with attacker.sql.transaction():
        await attacker.enter_user(world.mine)
        for statement in (
            "UPDATE tenancy.members SET role = 'owner'",
            "UPDATE tenancy.tenants SET status = 'active', limits = '{}'",
            "UPDATE tenancy.workspace_roles SET role = 'admin'",
            "DELETE FROM tenancy.revocations",
            "DELETE FROM tenancy.inbox",
            "DELETE FROM tenancy.dead_letters",
        ):
            assert (await attacker.sql.execute(statement)).endswith(" 0"), statement
        for name in ("members", "workspace_roles", "workspaces"):
            table = next(table for table in world.tables if table.name == f"tenancy.{name}")
            row = await _row(superuser, table, world.mine.tenant_id)
            assert await attacker.sqlstate(_insert(table), row) == REFUSED, name
