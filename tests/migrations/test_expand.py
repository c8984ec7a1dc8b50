"""Every migration leaves the release before it at work: what it uses stays, and nothing new is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from conftest import SERVICES, service_of

from common.db.migrate import applied, migrate, scripts
from common.db.provision import provision_database, role_names
from common.testing.databases import DatabaseServer, ServiceDatabase
from tests.migrations import catalog, statements

CHANGES = {
    "a column dropped": "ALTER TABLE tenants.monthly_sends DROP COLUMN reserved",
    "a column renamed": "ALTER TABLE tenants.tenants RENAME COLUMN company_name TO name",
    "a table renamed": "ALTER TABLE tenants.tenants RENAME TO companies",
    "another type": "ALTER TABLE tenants.monthly_sends ALTER COLUMN reserved TYPE numeric",
    "null refused": "ALTER TABLE tenants.subscriptions ALTER COLUMN customer_id SET NOT NULL",
    "a value needed": "ALTER TABLE tenants.tenants ADD COLUMN country text NOT NULL",
    "a default lost": "ALTER TABLE tenants.tenants ALTER COLUMN status DROP DEFAULT",
    "a check": "ALTER TABLE tenants.tenants ADD CHECK (length(company_name) > 1)",
    "unique names": "CREATE UNIQUE INDEX ON tenants.tenants (tenant_id, company_name)",
    "a grant withdrawn": "REVOKE INSERT ON tenants.tenants FROM tenants_app",
    "a function's grant": "REVOKE EXECUTE ON FUNCTION tenants.unfinished_sign_ups() FROM tenants_app",
    "a function dropped": "DROP FUNCTION tenants.unfinished_sign_ups()",
    "a policy dropped": "DROP POLICY unfinished_sign_ups ON tenants.provisionings",
    "a restriction": "CREATE POLICY p ON tenants.tenants AS RESTRICTIVE USING (plan <> 'starter')",
    "a trigger": "CREATE TRIGGER t BEFORE UPDATE ON tenants.tenants FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
}
HARMLESS = {
    "a column": "ALTER TABLE tenants.tenants ADD COLUMN country text CHECK (length(country) = 2)",
    "with default": "ALTER TABLE tenants.tenants ADD COLUMN country text NOT NULL DEFAULT 'xx'",
    "a table": "CREATE TABLE tenants.more (id uuid PRIMARY KEY, name text NOT NULL UNIQUE)",
    "an index": "CREATE INDEX ON tenants.tenants (company_name)",
    "null allowed": "ALTER TABLE tenants.tenants ALTER COLUMN plan DROP NOT NULL",
    "a check dropped": "ALTER TABLE tenants.tenants DROP CONSTRAINT tenants_plan_check",
}

FEWEST = 5
"""Statements that the least of the roles can say."""


@asynccontextmanager
async def empty_database(server: DatabaseServer, service: str) -> AsyncIterator[ServiceDatabase]:
    """Roles and a database, and no schema yet."""
    database = ServiceDatabase(server, service, f"test_{service}_{uuid4().hex[:12]}")
    passwords = {role: server.passwords[role] for role in role_names(service)}
    await provision_database(server.superuser_url, service, passwords, database.name)
    try:
        yield database
    finally:
        await database.drop()


def revisions(service: str) -> list[Any]:
    """Oldest first; what a revision depends on stands before it."""
    return list(reversed(list(scripts(service_of(service).migrations).walk_revisions())))


async def upgrade(database: ServiceDatabase, to: str = "heads", patience: float = 10) -> None:
    place = (database.owner_url, database.tenancy_key, service_of(database.service).migrations)
    await migrate(database.service, *place, to=to, patience=patience)


@pytest.mark.parametrize("service", SERVICES)
async def test_every_migration_expands_or_says_why_it_may_contract(
    postgres: DatabaseServer, service: str
) -> None:
    async with empty_database(postgres, service) as database:
        connection = await asyncpg.connect(database.superuser_url)
        try:
            before = await catalog.read(connection)
            for revision in revisions(service):
                await upgrade(database, revision.revision)
                after = await catalog.read(connection)
                explained: dict[str, str] = getattr(revision.module, "CONTRACTS", {})
                found = catalog.breaks(before, after)
                assert found == set(explained), f"{revision.revision} breaks the code before it"
                assert all(explained.values())
                before = after
        finally:
            await connection.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_all_that_code_could_say_before_the_newest_migrations_it_can_say_after_them(
    postgres: DatabaseServer, service: str
) -> None:
    known = {revision.revision: revision.module for revision in revisions(service)}
    newest = {[name for name in known if name.startswith(chain)][-1] for chain in (service, "kernel")}
    contracts = any(getattr(known[name], "CONTRACTS", {}) for name in newest)
    async with empty_database(postgres, service) as database, AsyncExitStack() as exits:
        for revision in known:
            if revision not in newest:
                await upgrade(database, revision)
        roles = [await connected(exits, url) for url in (database.app_url, database.relay_url)]
        said = [await statements.possible(role) for role in roles]
        assert all(len(found) > FEWEST for found in said), said
        await upgrade(database)
        for role, found in zip(roles, said, strict=True):
            assert contracts or await statements.refusals(role, found) == {}


async def connected(exits: AsyncExitStack, url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    exits.push_async_callback(connection.close)
    return connection


async def test_what_breaks_older_code_is_found_and_what_does_not_is_not(postgres: DatabaseServer) -> None:
    async with empty_database(postgres, "tenants") as database:
        await upgrade(database)
        connection = await asyncpg.connect(database.superuser_url)
        before = await catalog.read(connection)
        found: dict[str, set[str]] = {}
        try:
            for name, change in {**CHANGES, **HARMLESS}.items():
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(change)
                found[name] = catalog.breaks(before, await catalog.read(connection))
                await transaction.rollback()
        finally:
            await connection.close()
    assert {name for name, what in found.items() if what} == set(CHANGES), found


async def test_two_that_migrate_at_once_both_succeed(postgres: DatabaseServer) -> None:
    async with empty_database(postgres, "tenants") as database:
        await asyncio.gather(*(upgrade(database) for _ in range(4)))
        connection = await asyncpg.connect(database.superuser_url)
        try:
            stored = [row[0] for row in await connection.fetch("SELECT version_num FROM alembic_version")]
        finally:
            await connection.close()
    script = scripts(service_of("tenants").migrations)
    assert len(stored) == len(set(stored))
    assert applied(script, stored) == {revision.revision for revision in script.walk_revisions()}


async def test_a_migration_that_cannot_have_a_table_gives_up_and_changes_nothing(
    postgres: DatabaseServer,
) -> None:
    async with empty_database(postgres, "tenants") as database:
        await upgrade(database, "tenants_0001")
        reader = await asyncpg.connect(database.superuser_url)
        try:
            before = await catalog.read(reader)
            async with reader.transaction():
                await reader.execute("SELECT FROM tenants.tenants")
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await upgrade(database, patience=0.2)
            assert await catalog.read(reader) == before
            await upgrade(database)
        finally:
            await reader.close()
