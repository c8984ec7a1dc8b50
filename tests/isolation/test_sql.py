"""Unfiltered SQL as a service's own role shows the entered tenant's rows, and otherwise nothing."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.isolation.attacker import ENTER, Attacker, attack
from tests.isolation.installation import World

Attack = Callable[[Attacker, World], Awaitable[None]]
REFUSED = "42501"


async def test_every_table_has_rows_of_both_tenants(world: World, superuser: asyncpg.Connection) -> None:
    """Without rows nothing below proves anything. A table named here needs a recipe in `seeds.py`."""
    empty = [
        (table.name, tenant.tenant_id)
        for table in world.tables
        for tenant in (world.mine, world.theirs)
        if not await superuser.fetchval(
            f"SELECT EXISTS (SELECT FROM {table.name} WHERE tenant_id = $1)", tenant.tenant_id
        )
    ]
    assert empty == []


async def test_each_tenant_sees_its_own_rows_in_every_table(world: World, attacker: Attacker) -> None:
    for tenant in (world.mine, world.theirs):
        async with attacker.sql.transaction():
            await attacker.enter(tenant)
            seen = await attacker.visible(world.readable)
        assert seen == {table.name: {tenant.tenant_id} for table in world.readable}


async def test_a_user_sees_nothing_but_the_own_tenant(world: World, attacker: Attacker) -> None:
    async with attacker.sql.transaction():
        await attacker.enter_user(world.mine)
        seen = await attacker.visible(world.readable)
    assert set().union(*seen.values()) == {world.mine.tenant_id}


# Ways to be in no tenant, honest and not --------------------------------------------------------------


async def no_context(attacker: Attacker, world: World) -> None:
    """A connection as it comes from the pool."""


async def forged_context(attacker: Attacker, world: World) -> None:
    await attacker.forge(f"user|{world.theirs.tenant_id}", "")


async def forged_context_and_seal(attacker: Attacker, world: World) -> None:
    await attacker.forge(f"system:job|{world.theirs.tenant_id}", "00" * 32)


async def forged_for_the_whole_connection(attacker: Attacker, world: World) -> None:
    await attacker.forge(f"system:job|{world.theirs.tenant_id}", "00" * 32, local=False)


async def seal_made_without_the_key(attacker: Attacker, world: World) -> None:
    """As `tenancy.seal` makes it, as far as SQL of the app role can."""
    context = f"user|{world.theirs.tenant_id}"
    made = await attacker.sql.fetchval(
        "SELECT encode(sha256(int4send(pg_backend_pid()) || timestamptz_send(CURRENT_TIMESTAMP)"
        " || convert_to($1, 'UTF8')), 'hex')",
        context,
    )
    await attacker.forge(context, made)


async def other_names_of_the_setting(attacker: Attacker, world: World) -> None:
    for name in ("app.tenant_id", "tenancy.tenant", "tenancy.tenant_id", "app.current_tenant"):
        await attacker.sql.execute("SELECT set_config($1, $2, true)", name, str(world.theirs.tenant_id))


async def malformed_context(attacker: Attacker, world: World) -> None:
    await attacker.forge("user|' OR true --", "")


async def after_commit(attacker: Attacker, world: World) -> None:
    await attacker.enter(world.theirs)
    await attacker.sql.execute("COMMIT")
    await attacker.sql.execute("BEGIN")


async def after_rollback(attacker: Attacker, world: World) -> None:
    await attacker.enter(world.theirs)
    await attacker.sql.execute("ROLLBACK")
    await attacker.sql.execute("BEGIN")


async def after_commit_and_chain(attacker: Attacker, world: World) -> None:
    await attacker.enter(world.theirs)
    await attacker.sql.execute("COMMIT AND CHAIN")


async def after_rolled_back_savepoint(attacker: Attacker, world: World) -> None:
    await attacker.sql.execute("SAVEPOINT before_entry")
    await attacker.enter(world.theirs)
    await attacker.sql.execute("ROLLBACK TO before_entry")


async def seal_kept_for_the_next_transaction(attacker: Attacker, world: World) -> None:
    await attacker.enter(world.theirs)
    kept = await attacker.settings()
    await attacker.sql.execute("COMMIT")
    await attacker.sql.execute("BEGIN")
    await attacker.forge(*kept)


async def seal_kept_as_a_setting_of_the_connection(attacker: Attacker, world: World) -> None:
    await attacker.enter(world.theirs)
    await attacker.forge(*await attacker.settings(), local=False)
    await attacker.sql.execute("COMMIT")
    await attacker.sql.execute("BEGIN")


async def seal_carried_to_another_connection(attacker: Attacker, world: World) -> None:
    async with attack(world.database) as other, other.sql.transaction():
        await other.enter(world.theirs)
        await attacker.forge(*await other.settings())


async def tenant_changed_after_entry(attacker: Attacker, world: World) -> None:
    await attacker.enter(world.mine)
    context, seal = await attacker.settings()
    await attacker.forge(context.replace(str(world.mine.tenant_id), str(world.theirs.tenant_id)), seal)


async def user_changed_to_system_after_entry(attacker: Attacker, world: World) -> None:
    await attacker.enter_user(world.mine)
    _, seal = await attacker.settings()
    await attacker.forge(f"system:event|{world.mine.tenant_id}", seal)


async def second_tenant_appended_after_entry(attacker: Attacker, world: World) -> None:
    await attacker.enter(world.mine)
    context, seal = await attacker.settings()
    await attacker.forge(f"{context}|{world.theirs.tenant_id}", seal)


async def proof_carried_to_another_connection(attacker: Attacker, world: World) -> None:
    async with attack(world.database) as other:
        stolen = await other.proof(world.theirs)
    await _refused(attacker, world, stolen)


async def proof_of_the_own_tenant_for_another(attacker: Attacker, world: World) -> None:
    await _refused(attacker, world, await attacker.proof(world.mine))


async def empty_proof(attacker: Attacker, world: World) -> None:
    await _refused(attacker, world, b"")


async def _refused(attacker: Attacker, world: World, proof: bytes) -> None:
    assert await attacker.sqlstate(ENTER, world.theirs.tenant_id, proof) == REFUSED


OUTSIDE: list[Attack] = [
    no_context,
    forged_context,
    forged_context_and_seal,
    forged_for_the_whole_connection,
    seal_made_without_the_key,
    other_names_of_the_setting,
    malformed_context,
    after_commit,
    after_rollback,
    after_commit_and_chain,
    after_rolled_back_savepoint,
    seal_kept_for_the_next_transaction,
    seal_kept_as_a_setting_of_the_connection,
    seal_carried_to_another_connection,
    tenant_changed_after_entry,
    user_changed_to_system_after_entry,
    second_tenant_appended_after_entry,
    proof_carried_to_another_connection,
    proof_of_the_own_tenant_for_another,
    empty_proof,
]


@pytest.mark.parametrize("way", OUTSIDE, ids=lambda way: way.__name__)
async def test_outside_a_tenant_nothing_is_visible(world: World, attacker: Attacker, way: Attack) -> None:
    await attacker.sql.execute("BEGIN")
    await way(attacker, world)
    assert await attacker.visible(world.readable) == {}
    await attacker.sql.execute("ROLLBACK")
    assert await attacker.visible(world.readable) == {}


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
async def test_nothing_of_the_context_is_left_after_a_transaction(
    world: World, attacker: Attacker, ending: str
) -> None:
    await attacker.sql.execute("BEGIN")
    await attacker.enter(world.mine)
    assert all(await attacker.settings())
    await attacker.sql.execute(ending)
    assert await attacker.visible(world.readable) == {}
    if world.database.pooler_mode == "session":  # behind a pooler the next statement may meet another backend
        assert await attacker.settings() == ("", "")


async def test_an_aborted_transaction_shows_nothing(world: World, attacker: Attacker) -> None:
    await attacker.sql.execute("BEGIN")
    await attacker.enter(world.mine)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await attacker.sql.execute("SELECT 1/0")
    for table in world.readable:
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await attacker.sql.fetch(f"SELECT * FROM {table.name}")
    await attacker.sql.execute("ROLLBACK")
    assert await attacker.visible(world.readable) == {}


# Ways to stay in the own tenant -----------------------------------------------------------------------


async def second_tenant_entered(attacker: Attacker, world: World) -> None:
    await _refused(attacker, world, await attacker.proof(world.theirs))


async def error_survived_by_savepoint(attacker: Attacker, world: World) -> None:
    assert await attacker.sqlstate("SELECT 1/0") == "22012"


async def row_security_switched_on(attacker: Attacker, world: World) -> None:
    await attacker.sql.execute("SET row_security = on")


async def names_looked_up_elsewhere(attacker: Attacker, world: World) -> None:
    await attacker.sql.execute(f"SET search_path = pg_temp, {world.service}, tenancy, public, pg_catalog")


async def plans_made_generic(attacker: Attacker, world: World) -> None:
    await attacker.sql.execute("SET plan_cache_mode = force_generic_plan")


async def policies_made_cheap_to_reorder(attacker: Attacker, world: World) -> None:
    for setting in ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan"):
        await attacker.sql.execute(f"SET LOCAL {setting} = off")


INSIDE: list[Attack] = [
    second_tenant_entered,
    error_survived_by_savepoint,
    row_security_switched_on,
    names_looked_up_elsewhere,
    plans_made_generic,
    policies_made_cheap_to_reorder,
]


@pytest.mark.parametrize("way", INSIDE, ids=lambda way: way.__name__)
async def test_inside_a_tenant_only_its_rows_are_visible(
    world: World, attacker: Attacker, way: Attack
) -> None:
    await attacker.sql.execute("BEGIN")
    await attacker.enter(world.mine)
    await way(attacker, world)
    seen = await attacker.visible(world.readable)
    assert seen == {table.name: {world.mine.tenant_id} for table in world.readable}
    await attacker.sql.execute("ROLLBACK")
