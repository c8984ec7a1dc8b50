"""What SQL of one tenant can leave behind on a pooled connection for the next one."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.context import SystemContext
from common.db.session import Database
from common.testing.harness import MadeTenant
from tests.isolation.installation import World

NAMES = text("/* unnarrowed */ SELECT distinct tenant_id FROM campaigns.campaigns")


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


@pytest.mark.parametrize(
    "source", ["pg_prepared_statements", "pg_prepared_statement()", "pg_cursors", "pg_cursor()"]
)
async def test_names_of_prepared_statements_and_cursors_are_closed(
    world: World, narrow: Database, source: str
) -> None:
    async with narrow.tenant(job(world.mine)) as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text(f"SELECT * FROM {source}"))
        await session.rollback()
        assert set(await session.scalars(NAMES)) == {world.mine.tenant_id}


async def test_names_of_prepared_statements_cannot_be_guessed(
    world: World, narrow: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    prepare = asyncpg.Connection.prepare

    async def recorded(self: Any, query: str, *, name: Any = None, **options: Any) -> Any:
        used.append(str(name))
        return await prepare(self, query, name=name, **options)

    monkeypatch.setattr(asyncpg.Connection, "prepare", recorded)
    for tenant in (world.mine, world.theirs):
        async with narrow.tenant(job(tenant)) as session:
            await session.execute(NAMES)
    assert used
    assert all(re.fullmatch(r"s[0-9a-f]{32}", name) for name in used), used
    assert len(set(used)) == len(used)


async def test_a_statement_planted_under_a_driver_name_is_never_run(world: World, narrow: Database) -> None:
    """The names drivers use by default, replaced by SQL that would carry rows into the next transaction."""
    plant = """
        DO $$ BEGIN
            FOR i IN 1..40 LOOP
                EXECUTE format('PREPARE %I AS SELECT set_config(''x.loot'', ''taken'', false)',
                               '__asyncpg_stmt_' || to_hex(i) || '__');
                EXECUTE format('PREPARE %I AS SELECT set_config(''x.loot'', ''taken'', false)',
                               '__asyncpg_' || i || '__');
            END LOOP;
        END $$"""
    async with narrow.tenant(job(world.mine)) as session:
        await session.execute(text(plant.replace(":", r"\:")))
        await session.commit()
    async with narrow.tenant(job(world.theirs)) as session:
        assert set(await session.scalars(NAMES)) == {world.theirs.tenant_id}
        await session.commit()
    async with narrow.tenant(job(world.mine)) as session:
        assert not await session.scalar(text("SELECT current_setting('x.loot', true)"))


async def test_statements_deallocated_by_another_harm_nobodys_isolation(
    world: World, narrow: Database
) -> None:
    """An attacker may break the connection for the next one, who then gets an error and no foreign row."""
    async with narrow.tenant(job(world.mine)) as session:
        await session.execute(NAMES)
        await session.execute(text("DEALLOCATE ALL"))
        await session.commit()
    for _ in range(3):
        try:
            async with narrow.tenant(job(world.theirs)) as session:
                assert set(await session.scalars(NAMES)) == {world.theirs.tenant_id}
        except DBAPIError:
            continue


async def test_estimates_tell_nothing_of_other_tenants_words(world: World) -> None:
    """EXPLAIN under the wall gives the same estimate for a foreign value and for one that nobody has."""
    superuser = await asyncpg.connect(world.database.superuser_url)
    try:
        sampled = await superuser.fetch(
            """SELECT schemaname, tablename, attname FROM pg_stats
               WHERE schemaname IN ('campaigns', 'tenancy') AND tablename NOT IN ('relay_state', 'keys')
                 AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL)
                 AND attname IN (SELECT attname FROM pg_attribute AS a
                     WHERE a.attrelid = (schemaname || '.' || tablename)::regclass
                       AND a.atttypid IN ('text'::regtype, 'jsonb'::regtype, 'bytea'::regtype))"""
        )
    finally:
        await superuser.close()
    shared = {"outbox_history", "consumer_offsets"}
    assert not [row for row in sampled if not row["tablename"].startswith(tuple(shared))]
