"""What a service's own role cannot do at all, whatever it is tricked into running."""

import io

import asyncpg
import pytest

from common.db import shared_tables
from tests.isolation.attacker import Attacker, attack
from tests.isolation.installation import World
from tests.isolation.seeds import claim_of
from tests.isolation.services import SERVICES

REFUSED = "42501"
_ACL = "SELECT relacl::text FROM pg_class WHERE oid = $1::text::regclass"

_DEFINERS = """
SELECT n.nspname || '.' || p.proname AS name
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND has_function_privilege($1, p.oid, 'EXECUTE')
  AND has_schema_privilege($1, n.oid, 'USAGE')
"""
_ADDRESS = "SELECT email FROM tenancy.members WHERE tenant_id = $1"
KERNEL_DEFINERS = {
    "tenancy.current_tenant",
    "tenancy.system_tenant",
    "tenancy.enter",
    "tenancy.enter_system",
}
KERNEL_PEEKS = {
    "tenancy.due_erasures": "SELECT * FROM tenancy.due_erasures(1000)",
    "tenancy.due_exports": "SELECT * FROM tenancy.due_exports(1000)",
}
PEEKS = {
    "auth": {
        "auth.accounts_of": "SELECT * FROM auth.accounts_of('{address}', '')",
        "auth.due_mail_tenants": "SELECT * FROM auth.due_mail_tenants(1000, '0')",
    },
    "tenants": {
        "tenants.due_billing_tenants": "SELECT * FROM tenants.due_billing_tenants(1000, '0')",
        "tenants.unfinished_sign_ups": "SELECT * FROM tenants.unfinished_sign_ups()",
        "tenants.claim_domain": "SELECT 1 WHERE tenants.claim_domain('\\x{claim}')",
        "tenants.confirm_domain": "SELECT 1 WHERE tenants.confirm_domain('\\x{claim}', true)",
        "tenants.release_domain": "SELECT 1 WHERE tenants.release_domain('\\x{claim}')",
        "tenants.erase_claims": "SELECT 1 WHERE tenants.erase_claims() > 0",
        "tenants.list_tenants": "SELECT * FROM tenants.list_tenants(NULL, NULL, NULL, NULL, 1000)",
        "tenants.list_sign_ups": "SELECT * FROM tenants.list_sign_ups(NULL, NULL, NULL, NULL, 1000)",
        "tenants.list_deletions": "SELECT * FROM tenants.list_deletions(NULL, NULL, false, NULL, 1000)",
        "tenants.list_exports": "SELECT * FROM tenants.list_exports(NULL, NULL, NULL, 1000)",
        "tenants.list_billing": "SELECT * FROM tenants.list_billing(NULL, false, NULL, 1000)",
        "tenants.due_reconciliations": "SELECT * FROM tenants.due_reconciliations(1000)",
        "tenants.due_deletions": "SELECT * FROM tenants.due_deletions(1000)",
        "tenants.open_deletions": "SELECT * FROM tenants.open_deletions()",
        "tenants.departure_ages": "SELECT 1 FROM tenants.departure_ages('0') WHERE deletion + export > 0",
        "tenants.due_domains": "SELECT * FROM tenants.due_domains(1000)",
        "tenants.due_exports": "SELECT * FROM tenants.due_exports(1000)",
        "tenants.tenants_of_customer": "SELECT * FROM tenants.tenants_of_customer('cus_seed')",
        "tenants.billed_tenants": "SELECT * FROM tenants.billed_tenants(uuid(repeat('0', 32)), 1000)",
    },
    "audit": {"audit.trim": "SELECT * FROM audit.trim(1000) WHERE trimmed + records > 0"},
}
"""Definer functions of the services that the app role may call, and how."""
REFUSING = {
    "audit": {
        "audit.erase_records": "SELECT * FROM audit.erase_records(1000)",
        "audit.blank_events": "SELECT * FROM audit.blank_events('-infinity', 1000)",
    },
}
"""Those that work for a deleted tenant's job only, and are an error for all others."""

FORBIDDEN = {
    "become the owner": "SET ROLE {service}_owner",
    "become the relay": "SET ROLE {service}_relay",
    "become a superuser": "SET ROLE {superuser}",
    "log in as the owner": "SET SESSION AUTHORIZATION {service}_owner",
    "make a table in the kernel's schema": "CREATE TABLE tenancy.loot (row jsonb)",
    "make a table in the public schema": "CREATE TABLE public.loot (row jsonb)",
    "make a table in the service's schema": "CREATE TABLE {service}.loot (row jsonb)",
    "make a temporary table": "CREATE TEMP TABLE loot (row jsonb)",
    "shadow a table": "CREATE TEMP VIEW members AS SELECT 1 AS one",
    "make a function": "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1",
    "make a function in the kernel's schema": "CREATE FUNCTION tenancy.f() RETURNS int LANGUAGE sql RETURN 1",
    "shadow a function": "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql RETURN ''::bytea",
    "make a schema": "CREATE SCHEMA loot",
    "make a view": "CREATE VIEW public.v AS SELECT 1 AS one",
    "make an operator class": "CREATE TYPE public.t AS (a int)",
    "install an extension": "CREATE EXTENSION pg_trgm",
    "install a language": "CREATE LANGUAGE loot HANDLER plpgsql_call_handler",
    "publish tables": "CREATE PUBLICATION p FOR ALL TABLES",
    "switch triggers off": "SET session_replication_role = replica",
    "make oneself mighty": "ALTER ROLE {service}_app BYPASSRLS",
    "join the owner": "GRANT {service}_owner TO {service}_app",
    "change the entry": "ALTER FUNCTION tenancy.current_tenant() RESET search_path",
    "read the key": "SELECT * FROM tenancy.keys",
    "change the key": "UPDATE tenancy.keys SET inner_pad = outer_pad",
    "make a proof": "SELECT tenancy.mac(key, 'user'::bytea) FROM tenancy.keys AS key",
    "make a seal": "SELECT tenancy.seal(key, 'user') FROM tenancy.keys AS key",
    "pass for the platform": "SELECT tenancy.is_platform()",
    "enter without a proof": "SELECT tenancy.seal_context(key, 'user|' || uuidv7()) FROM tenancy.keys AS key",
    "drop the history": "SELECT tenancy.maintain_history('0')",
    "read the outbox": "SELECT * FROM tenancy.outbox",
    "empty the outbox": "DELETE FROM tenancy.outbox",
    "read the history": "SELECT * FROM tenancy.outbox_history",
    "move the relay": "UPDATE tenancy.relay_state SET next_sequence = 1",
    "read passwords": "SELECT * FROM pg_authid",
    "read samples of columns": "SELECT * FROM pg_statistic",
    "read a file": "SELECT pg_read_file('PG_VERSION')",
    "list files": "SELECT pg_ls_dir('.')",
    "write a file": "COPY (SELECT 1) TO '/tmp/loot'",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "make a large object": "SELECT lo_create(0)",
    "fill a large object": "SELECT lo_from_bytea(0, 'loot')",
    "import a large object": "SELECT lo_import('/etc/hostname')",
    "reload the configuration": "SELECT pg_reload_conf()",
    "read the log": "SELECT pg_current_logfile()",
}
ON_TABLES = {
    "empty": "TRUNCATE {table}",
    "drop": "DROP TABLE {table}",
    "switch row security off": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "let the owner past": "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "drop the wall": "DROP POLICY tenant_wall ON {table}",
    "add a door": "CREATE POLICY door ON {table} USING (true)",
    "take": "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "add a trigger": "CREATE TRIGGER t BEFORE UPDATE ON {table} FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "add a rule": "CREATE RULE r AS ON INSERT TO {table} DO ALSO NOTHING",
    "refer to": "CREATE TABLE public.spy (id uuid REFERENCES {table})",
}


@pytest.mark.parametrize("power", FORBIDDEN)
async def test_role_cannot(
    world: World, attacker: Attacker, superuser: asyncpg.Connection, power: str
) -> None:
    mighty = await superuser.fetchval("SELECT quote_ident(current_user)")
    statement = FORBIDDEN[power].format(service=world.service, superuser=mighty)
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        assert await attacker.sqlstate(statement) == REFUSED
        block = f"DO $do$ BEGIN EXECUTE $sql${statement}$sql$; END $do$"
        assert await attacker.sqlstate(block) == REFUSED, "in a DO block"


@pytest.mark.parametrize("power", ON_TABLES)
async def test_role_cannot_on_any_table(world: World, attacker: Attacker, power: str) -> None:
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        states = {
            table.name: await attacker.sqlstate(ON_TABLES[power].format(table=table.name))
            for table in world.tables
        }
    assert states == {table.name: REFUSED for table in world.tables}


async def test_role_cannot_pass_its_grants_on(world: World, attacker: Attacker) -> None:
    """PostgreSQL answers such a GRANT with a warning only, so look at what it did."""
    async with attacker.sql.transaction():
        for table in world.tables:
            before = await attacker.sql.fetchval(_ACL, table.name)
            await attacker.sql.execute(f"GRANT ALL ON {table.name} TO PUBLIC")
            assert await attacker.sql.fetchval(_ACL, table.name) == before, table.name


async def test_row_security_off_is_an_error_not_a_leak(world: World, attacker: Attacker) -> None:
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        await attacker.sql.execute("SET LOCAL row_security = off")
        for table in world.readable:
            assert await attacker.sqlstate(f"SELECT * FROM {table.name}") == REFUSED, table.name


async def test_copy_brings_nothing_in(world: World, attacker: Attacker) -> None:
    for table in world.tables:
        schema, _, name = table.name.partition(".")
        with pytest.raises((asyncpg.FeatureNotSupportedError, asyncpg.InsufficientPrivilegeError)):
            await attacker.sql.copy_records_to_table(
                name, schema_name=schema, columns=["tenant_id"], records=[(world.theirs.tenant_id,)]
            )


async def test_copy_takes_only_own_rows_out(world: World, attacker: Attacker) -> None:
    for table in world.readable:
        schema, _, name = table.name.partition(".")
        whole, queried = io.BytesIO(), io.BytesIO()
        async with attacker.sql.transaction():
            await attacker.enter(world.mine)
            await attacker.sql.copy_from_table(name, schema_name=schema, columns=["tenant_id"], output=whole)
            await attacker.sql.copy_from_query(f"SELECT tenant_id FROM {table.name}", output=queried)
        own = {str(world.mine.tenant_id)}
        assert set(whole.getvalue().decode().split()) <= own, table.name
        assert set(queried.getvalue().decode().split()) == own, table.name


async def test_definer_functions_show_a_tenant_nothing_of_others(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    """Those that look across tenants do it for the platform's own context only."""
    rows = await superuser.fetch(_DEFINERS, f"{world.service}_app")
    peeks = {**KERNEL_PEEKS, **PEEKS.get(world.service, {})}
    refusing = REFUSING.get(world.service, {})
    known = KERNEL_DEFINERS | peeks.keys() | refusing.keys()
    assert {row["name"] for row in rows} == known, "a new one needs its call here"
    for call in refusing.values():
        assert await attacker.sqlstate(call) == REFUSED
        async with attacker.sql.transaction():
            await attacker.enter(world.mine)
            assert await attacker.sqlstate(call) == REFUSED
    address = await superuser.fetchval(_ADDRESS, world.theirs.tenant_id)
    for name, template in peeks.items():
        call = template.format(address=address, claim=claim_of(world.theirs.tenant_id).hex())
        assert await attacker.sql.fetch(call) == [], f"{name} outside any tenant"
        async with attacker.sql.transaction():
            await attacker.enter(world.mine)
            assert await attacker.sql.fetch(call) == [], f"{name} inside a tenant"


async def test_statistics_show_no_values_of_tenant_tables(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    sampled = "SELECT count(*) FROM pg_stats WHERE schemaname || '.' || tablename = $1"
    tables = [table.name for table in world.tables]
    assert sum([await superuser.fetchval(sampled, name) for name in tables]) > 0, "there are samples"
    for enter in (False, True):
        async with attacker.sql.transaction():
            if enter:
                await attacker.enter(world.mine)
            for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
                shown = await attacker.sql.fetch(
                    f"SELECT schemaname || '.' || tablename FROM {view} "
                    "WHERE schemaname || '.' || tablename = ANY ($1)",
                    tables,
                )
                assert shown == [], view


async def test_errors_do_not_quote_foreign_rows(world: World, attacker: Attacker) -> None:
    """A failing cast quotes the value it met: it must meet own rows only."""
    quoting = "SELECT FROM {table} WHERE tenant_id = $1 AND tenant_id::text::int = 0"
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        for table in world.readable:
            statement = quoting.format(table=table.name)
            assert await attacker.sqlstate(statement, world.theirs.tenant_id) == "", table.name
            assert await attacker.sqlstate(statement, world.mine.tenant_id) == "22P02", table.name


async def test_a_do_block_that_forges_its_way_finds_nothing(world: World, attacker: Attacker) -> None:
    for table in world.readable:
        await attacker.sql.execute(f"""
            DO $do$
            BEGIN
                PERFORM set_config('tenancy.context', 'system:job|{world.theirs.tenant_id}', true);
                PERFORM set_config('tenancy.seal', repeat('0', 64), true);
                IF EXISTS (SELECT FROM {table.name}) THEN RAISE EXCEPTION 'rows'; END IF;
            END $do$
        """)


async def test_prepared_statements_follow_the_tenant(world: World, attacker: Attacker) -> None:
    """Prepared in one tenant, run in the next, often enough for a generic plan, and outside any."""
    table = world.readable[-1].name
    prepared = await attacker.sql.prepare(f"SELECT DISTINCT tenant_id FROM {table}")
    await attacker.sql.execute(f"PREPARE kept AS SELECT DISTINCT tenant_id FROM {table}")
    for _ in range(8):
        for tenant in (world.mine, world.theirs):
            async with attacker.sql.transaction():
                await attacker.enter(tenant)
                for rows in (await prepared.fetch(), await attacker.sql.fetch("EXECUTE kept")):
                    assert [row["tenant_id"] for row in rows] == [tenant.tenant_id]
        assert await prepared.fetch() == []
        assert await attacker.sql.fetch("EXECUTE kept") == []


async def test_cursors_left_behind_show_nothing_of_the_next_tenant(world: World, attacker: Attacker) -> None:
    table = world.readable[-1].name
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        await attacker.sql.execute(f"DECLARE gone CURSOR FOR SELECT tenant_id FROM {table}")
        await attacker.sql.execute(f"DECLARE kept CURSOR WITH HOLD FOR SELECT tenant_id FROM {table}")
    await attacker.sql.execute("BEGIN")
    await attacker.enter(world.theirs)
    rows = await attacker.sql.fetch("FETCH ALL FROM kept")
    assert {row["tenant_id"] for row in rows} == {world.mine.tenant_id}, "what its own transaction saw"
    assert await attacker.sqlstate("FETCH ALL FROM gone") == "34000"
    await attacker.sql.execute("ROLLBACK")


async def test_watching_other_sessions_shows_no_proof(world: World, attacker: Attacker) -> None:
    async with attack(world.database) as honest:
        proof = await honest.proof(world.theirs)
        async with honest.sql.transaction():
            await honest.replay(world.theirs, proof)
            queries = [row["query"] for row in await attacker.sql.fetch("SELECT query FROM pg_stat_activity")]
    assert any("enter_system" in query for query in queries), "the honest session is being watched"
    assert not any(proof.hex() in query for query in queries)


async def test_role_reaches_no_other_services_database(
    world: World, attacker: Attacker, superuser: asyncpg.Connection
) -> None:
    databases = await superuser.fetch(
        "SELECT datname, has_database_privilege($1, datname, 'CONNECT') AS open FROM pg_database "
        "WHERE datname = ANY ($2)",
        f"{world.service}_app",
        list(SERVICES),
    )
    assert {row["datname"] for row in databases if row["open"]} <= {world.service}


async def test_shared_tables_hold_no_tenants_rows(world: World, superuser: asyncpg.Connection) -> None:
    """A table on the list that the app role can read has no tenant column to leak through."""
    for name in shared_tables.SHARED_TABLES:
        readable = await superuser.fetchval(
            "SELECT has_table_privilege($1, c.oid, 'SELECT') FROM pg_class AS c "
            "WHERE c.oid = to_regclass($2)",
            f"{world.service}_app",
            name,
        )
        column = await superuser.fetchval(
            "SELECT EXISTS (SELECT FROM pg_attribute AS a "
            "WHERE a.attrelid = to_regclass($1) AND a.attname = 'tenant_id')",
            name,
        )
        assert not (readable and column), name
