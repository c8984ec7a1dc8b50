"""Every database keeps the tenancy rules, the reviewed lists are exact, and breaking a rule is noticed."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from common.db import shared_tables
from common.db.catalog import CatalogBroken, check_catalog, find_breaches
from tests.isolation.installation import World
from tests.isolation.services import SERVICES

_TABLES = """
SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
    c.relispartition AS partition,
    EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND NOT p.polpermissive
            AND p.polroles = ARRAY[$1::regrole::oid] AND p.polcmd = '*'
            AND pg_get_expr(p.polqual, c.oid) = '(tenant_id = tenancy.current_tenant())'
            AND pg_get_expr(p.polwithcheck, c.oid) = '(tenant_id = tenancy.current_tenant())') AS walled,
    has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE')
        OR has_table_privilege($1, c.oid, 'DELETE') AS granted
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
"""
_DEFINERS = """
SELECT n.nspname || '.' || p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname NOT LIKE 'pg\\_%'
"""
_WITHOUT_WORD = """
SELECT n.nspname || '.' || p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname NOT LIKE 'pg\\_%'
    AND coalesce(obj_description(p.oid, 'pg_proc'), '') NOT LIKE 'Reviewed: %'
UNION
SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'Reviewed: %'
"""
MADE_BEFORE = {
    "audit.blank_events",
    "audit.deleted_tenant",
    "audit.ensure_days",
    "audit.erase_records",
    "audit.gaps",
    "audit.ownership",
    "audit.producers",
    "audit.trim",
    "auth.accounts_of",
    "auth.due_mail_tenants",
    "public.alembic_version",
    "tenancy.consumer_offsets",
    "tenancy.current_tenant",
    "tenancy.due_erasures",
    "tenancy.due_exports",
    "tenancy.enter",
    "tenancy.enter_system",
    "tenancy.is_platform",
    "tenancy.keys",
    "tenancy.maintain_history",
    "tenancy.relay_state",
    "tenancy.stopped_consumers",
    "tenancy.system_tenant",
    "tenants.billed_tenants",
    "tenants.claim_domain",
    "tenants.confirm_domain",
    "tenants.departure_ages",
    "tenants.domain_claims",
    "tenants.due_billing_tenants",
    "tenants.due_deletions",
    "tenants.due_domains",
    "tenants.due_exports",
    "tenants.erase_claims",
    "tenants.list_tenants",
    "tenants.open_deletions",
    "tenants.release_domain",
    "tenants.tenants_of_customer",
    "tenants.unfinished_sign_ups",
}
"""Exceptions that older code lists itself, from before migrations had to say `Reviewed: `."""
_OPEN_POLICIES = """
SELECT DISTINCT schemaname || '.' || tablename FROM pg_policies
WHERE NOT $1::name = ANY (roles) AND coalesce(qual, with_check) NOT LIKE '%tenancy.%\\_tenant()%'
"""
_LATE_INDEXES = """
SELECT n.nspname || '.' || i.relname FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_namespace AS n ON n.oid = i.relnamespace
JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attname = 'tenant_id'
WHERE x.indkey[0] <> a.attnum AND NOT i.relispartition
    AND n.nspname || '.' || (SELECT relname FROM pg_class WHERE oid = x.indrelid) <> ALL ($1)
"""
LATE_INDEXES = {
    "audit.open_accesses_by_age": "the judge takes the oldest of all tenants",
    "audit.open_accesses_by_resource": "the judge finds accesses of a resource whose owner was learnt",
    "auth.mails_due": "the worker takes what is due of all tenants",
    "auth.users_by_email": "a log-in names an address and no tenant",
    "tenancy.erasures_due": "the job takes what is due of all tenants",
    "tenancy.exports_due": "the job takes what is due of all tenants",
    "tenancy.outbox_history_order": "replays go by the number of publication",
    "tenancy.outbox_order": "the relay goes by the order of writing",
    "tenants.custom_domains_due": "the job takes what is due of all tenants",
    "tenants.deletions_open": "the job takes what is due of all tenants",
    "tenants.exports_due": "the job takes what is due of all tenants",
    "tenants.provisionings_unfinished": "the job takes what is due of all tenants",
    "tenants.subscriptions_customer": "Stripe names its customer and no tenant",
    "tenants.subscriptions_due": "the job takes what is due of all tenants",
}
"""Indexes of tenants' tables that do not begin with the tenant, and why: they are for roles and functions
that work for all tenants."""


async def test_indexes_begin_with_the_tenant_or_are_listed(
    worlds: Callable[[str], Awaitable[World]],
) -> None:
    found: set[str] = set()
    for name in SERVICES:
        world = await worlds(name)
        connection = await asyncpg.connect(world.database.superuser_url)
        try:
            rows = await connection.fetch(_LATE_INDEXES, list(shared_tables.SHARED_TABLES))
            found |= {row[0] for row in rows}
        finally:
            await connection.close()
    assert found == set(LATE_INDEXES)


async def test_database_keeps_every_rule(world: World, superuser: asyncpg.Connection) -> None:
    assert await find_breaches(superuser, world.service) == []


async def test_every_table_is_walled_or_listed(world: World, superuser: asyncpg.Connection) -> None:
    """Asked of the catalog in other words than `find_breaches` does."""
    rows = await superuser.fetch(_TABLES, f"{world.service}_app")
    names = {row["name"] for row in rows}
    assert "tenancy.members" in names
    open_tables = {row["name"] for row in rows if not row["forced"]}
    assert open_tables <= shared_tables.SHARED_TABLES.keys()
    for row in rows:
        if row["name"] not in shared_tables.SHARED_TABLES and row["granted"]:
            assert row["walled"], row["name"]
            assert not row["partition"], row["name"]


async def test_lists_have_no_stale_entries(
    worlds: Callable[[str], Awaitable[World]],
) -> None:
    """Every entry of the reviewed lists is there in at least one database, and has its reason."""
    tables: set[str] = set()
    definers: set[str] = set()
    policies: set[str] = set()
    for name in SERVICES:
        world = await worlds(name)
        connection = await asyncpg.connect(world.database.superuser_url)
        try:
            app = f"{name}_app"
            tables |= {row["name"] for row in await connection.fetch(_TABLES, app) if not row["forced"]}
            definers |= {row[0] for row in await connection.fetch(_DEFINERS)}
            policies |= {row[0] for row in await connection.fetch(_OPEN_POLICIES, app)}
        finally:
            await connection.close()
    assert set(shared_tables.SHARED_TABLES) == tables
    assert set(shared_tables.DEFINER_FUNCTIONS) == definers
    assert set(shared_tables.ROLE_POLICIES) == {name.rstrip("_0123456789") for name in policies}
    lists = (shared_tables.SHARED_TABLES, shared_tables.DEFINER_FUNCTIONS, shared_tables.ROLE_POLICIES)
    assert all(len(reason) > 10 for entries in lists for reason in entries.values())


_OWN = "tenant_id = tenancy.current_tenant()"
BREAKAGES: dict[str, tuple[str, str]] = {
    "wall dropped": (
        "DROP POLICY tenant_wall ON campaigns.contacts",
        "campaigns.contacts has no restrictive tenant policy",
    ),
    "wall made permissive": (
        "DROP POLICY tenant_wall ON campaigns.contacts; "
        "CREATE POLICY tenant_wall ON campaigns.contacts TO campaigns_app "
        f"USING ({_OWN}) WITH CHECK ({_OWN})",
        "campaigns.contacts has no restrictive tenant policy",
    ),
    "wall weakened by an alternative": (
        f"ALTER POLICY tenant_wall ON campaigns.contacts USING ({_OWN} OR true)",
        "campaigns.contacts has no restrictive tenant policy",
    ),
    "wall for reading only": (
        "DROP POLICY tenant_wall ON campaigns.contacts; "
        "CREATE POLICY tenant_wall ON campaigns.contacts AS RESTRICTIVE FOR SELECT TO campaigns_app "
        f"USING ({_OWN})",
        "campaigns.contacts has no restrictive tenant policy",
    ),
    "row security not forced": (
        "ALTER TABLE campaigns.contacts NO FORCE ROW LEVEL SECURITY",
        "campaigns.contacts has no forced row-level security",
    ),
    "row security off": (
        "ALTER TABLE tenancy.members DISABLE ROW LEVEL SECURITY",
        "tenancy.members has no forced row-level security",
    ),
    "row security off on a partition": (
        "DO $$ DECLARE name text; BEGIN "
        "SELECT inhrelid::regclass INTO name FROM pg_inherits "
        "WHERE inhparent = 'tenancy.outbox_history'::regclass LIMIT 1; "
        "EXECUTE 'ALTER TABLE ' || name || ' DISABLE ROW LEVEL SECURITY'; END $$",
        "has no forced row-level security",
    ),
    "everything permitted": (
        "CREATE POLICY door ON campaigns.contacts TO campaigns_app USING (true)",
        "campaigns.contacts.door lets campaigns_app past its tenant",
    ),
    "an alternative permitted": (
        f"CREATE POLICY door ON campaigns.contacts TO campaigns_app USING ({_OWN} OR true)",
        "campaigns.contacts.door lets campaigns_app past its tenant",
    ),
    "policy for everybody": (
        f"CREATE POLICY door ON campaigns.contacts USING ({_OWN})",
        "campaigns.contacts.door is for PUBLIC",
    ),
    "policy for another role": (
        "CREATE POLICY door ON campaigns.contacts TO campaigns_relay USING (true)",
        "campaigns.contacts.door lets",
    ),
    "policy with a sub-query": (
        "CREATE POLICY door ON campaigns.contacts TO campaigns_app "
        "USING (tenant_id = (SELECT tenancy.current_tenant()))",
        "campaigns.contacts.door has a sub-query",
    ),
    "grant to everybody": (
        "GRANT SELECT ON campaigns.contacts TO PUBLIC",
        "campaigns.contacts",
    ),
    "grant to everybody on one column": (
        "GRANT SELECT (email) ON campaigns.contacts TO PUBLIC",
        "campaigns.contacts",
    ),
    "grant of TRUNCATE": (
        "GRANT TRUNCATE ON campaigns.contacts TO campaigns_app",
        "campaigns.contacts grants TRUNCATE, REFERENCES or TRIGGER",
    ),
    "grant on a partition": (
        "DO $$ DECLARE name text; BEGIN "
        "SELECT inhrelid::regclass INTO name FROM pg_inherits "
        "WHERE inhparent = 'tenancy.outbox_history'::regclass LIMIT 1; "
        "EXECUTE 'GRANT SELECT ON ' || name || ' TO campaigns_app'; END $$",
        "is a partition with a grant of its own",
    ),
    "key readable": ("GRANT SELECT ON tenancy.keys TO campaigns_app", "tenancy.keys"),
    "seals for sale": ("GRANT EXECUTE ON FUNCTION tenancy.seal TO campaigns_app", "tenancy.seal"),
    "proofs for everybody": ("GRANT EXECUTE ON FUNCTION tenancy.mac TO PUBLIC", "tenancy.mac"),
    "contexts for everybody": (
        "GRANT EXECUTE ON FUNCTION tenancy.seal_context TO PUBLIC",
        "tenancy.seal_context",
    ),
    "app past row security": ("ALTER ROLE campaigns_app BYPASSRLS", "campaigns_app: mighty"),
    "app a superuser": ("ALTER ROLE campaigns_app SUPERUSER", "campaigns_app: mighty"),
    "app a member of the owner": (
        "GRANT campaigns_owner TO campaigns_app",
        "campaigns_app: member_of_others",
    ),
    "app an owner": (
        "GRANT CREATE ON SCHEMA campaigns TO campaigns_app; "
        "ALTER TABLE campaigns.contacts OWNER TO campaigns_app",
        "campaigns_app: owns_tables",
    ),
    "temporary tables": ("GRANT TEMP ON DATABASE {database} TO PUBLIC", "campaigns_app: temp"),
    "creation in a schema": ("GRANT CREATE ON SCHEMA public TO PUBLIC", "campaigns_app: creates"),
    "table without tenants": (
        "CREATE TABLE campaigns.loot (id uuid PRIMARY KEY)",
        "campaigns.loot has no tenant_id",
    ),
    "tenant left open": (
        "ALTER TABLE campaigns.contacts DROP CONSTRAINT contacts_pkey, ALTER tenant_id DROP NOT NULL",
        "campaigns.contacts has no tenant_id",
    ),
    "key without the tenant": (
        "CREATE UNIQUE INDEX loose ON campaigns.contacts (contact_id)",
        "campaigns.contacts has keys without tenant_id",
    ),
    "reference without the tenant": (
        "CREATE TABLE campaigns.notes (tenant_id uuid NOT NULL, contact_id uuid NOT NULL); "
        "CREATE UNIQUE INDEX loose ON campaigns.contacts (contact_id); "
        "ALTER TABLE campaigns.notes ADD CONSTRAINT loose_reference "
        "FOREIGN KEY (contact_id) REFERENCES campaigns.contacts (contact_id)",
        "campaigns.notes has keys without tenant_id: ['loose_reference']",
    ),
    "definer function": (
        "CREATE FUNCTION campaigns.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "SET search_path = pg_catalog RETURN (SELECT count(*) FROM campaigns.contacts)",
        "campaigns.peek is SECURITY DEFINER but not listed",
    ),
    "definer function not pinned": (
        "ALTER FUNCTION tenancy.current_tenant() RESET search_path",
        "tenancy.current_tenant is SECURITY DEFINER without a pinned search_path",
    ),
    "view": (
        "CREATE VIEW campaigns.everybody AS SELECT * FROM campaigns.contacts",
        "campaigns.everybody is a view",
    ),
    "materialized view": (
        "CREATE MATERIALIZED VIEW campaigns.everybody AS SELECT * FROM campaigns.contacts",
        "campaigns.everybody is a view, materialized view",
    ),
}


@pytest.fixture
async def campaigns(worlds: Callable[[str], Awaitable[World]]) -> World:
    return await worlds("campaigns")


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_breaking_a_rule_is_noticed(campaigns: World, breakage: str) -> None:
    """Break it in a transaction that never ends well, and ask."""
    statements, finding = BREAKAGES[breakage]
    connection = await asyncpg.connect(campaigns.database.superuser_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statements.replace("{database}", campaigns.database.name))
        findings = await find_breaches(connection, "campaigns")
    finally:
        await transaction.rollback()
        await connection.close()
    assert any(finding in text for text in findings), findings


_PEEK = (
    "CREATE FUNCTION campaigns.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
    "SET search_path = pg_catalog RETURN (SELECT count(*) FROM campaigns.contacts)"
)
_LOOT = "CREATE TABLE campaigns.loot (id uuid)"
_DOOR = "CREATE POLICY door ON campaigns.contacts TO {to} USING (true)"


@pytest.mark.parametrize(
    ("made", "named", "finding"),
    [
        (_PEEK, "FUNCTION campaigns.peek", None),
        (_LOOT, "TABLE campaigns.loot", None),
        (_DOOR.format(to="campaigns_relay"), "POLICY door ON campaigns.contacts", None),
        (f"{_LOOT}; GRANT SELECT ON campaigns.loot TO campaigns_app", "TABLE campaigns.loot", "no tenant_id"),
        (
            f"{_LOOT}; GRANT UPDATE (id) ON campaigns.loot TO campaigns_app",
            "TABLE campaigns.loot",
            "no tenant_id",
        ),
        (_DOOR.format(to="campaigns_app"), "POLICY door ON campaigns.contacts", "past its tenant"),
    ],
)
async def test_what_a_newer_release_calls_reviewed_keeps_no_older_service_from_its_start(
    campaigns: World, made: str, named: str, finding: str | None
) -> None:
    """It is on that release's lists. No word opens anything to requests."""
    connection = await asyncpg.connect(campaigns.database.superuser_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(made)
        assert await find_breaches(connection, "campaigns"), "without the word"
        await connection.execute(f"COMMENT ON {named} IS 'Reviewed: shown to nobody'")
        findings = await find_breaches(connection, "campaigns")
    finally:
        await transaction.rollback()
        await connection.close()
    assert bool(findings) is bool(finding), findings
    assert finding is None or any(finding in text for text in findings), findings


async def test_exceptions_made_since_there_is_a_word_for_them_have_it(
    worlds: Callable[[str], Awaitable[World]],
) -> None:
    """Else the release before could not begin anew on the database of this one."""
    bare: set[str] = set()
    for name in SERVICES:
        world = await worlds(name)
        connection = await asyncpg.connect(world.database.superuser_url)
        try:
            bare |= {row[0] for row in await connection.fetch(_WITHOUT_WORD)}
        finally:
            await connection.close()
    assert bare <= MADE_BEFORE


async def test_service_refuses_to_start_on_a_broken_database(
    campaigns: World, service_database: Callable[[str], Awaitable[object]]
) -> None:
    connection = await asyncpg.connect(campaigns.database.superuser_url)
    try:
        await connection.execute("CREATE TABLE campaigns.loot (id uuid)")
        with pytest.raises(CatalogBroken, match=r"campaigns\.loot"):
            await check_catalog(campaigns.database.app_url, "campaigns")
    finally:
        await connection.execute("DROP TABLE IF EXISTS campaigns.loot")
        await connection.close()
    await check_catalog(campaigns.database.app_url, "campaigns")
