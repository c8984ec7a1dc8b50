"""Breakages of a migrated database."""

from tests.isolation.mutations.mutation import Rewrite, SchemaMutation

_OWN = "tenant_id = tenancy.current_tenant()"
_ON_AN_OPERATORS_WORD = "tenancy.is_platform()"
_FOR_THE_PLATFORMS_JOB = "(tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid)"
_OPEN_ONE = (
    "DROP POLICY tenant_wall ON campaigns.contacts; DROP POLICY tenant_rows ON campaigns.contacts; "
    "CREATE POLICY tenant_rows ON campaigns.contacts TO campaigns_app USING (true) WITH CHECK (true)"
)
_WRITES_UNCHECKED = (
    "DROP POLICY tenant_wall ON campaigns.contacts; DROP POLICY tenant_rows ON campaigns.contacts; "
    f"CREATE POLICY tenant_rows ON campaigns.contacts TO campaigns_app USING ({_OWN}) WITH CHECK (true); "
    "CREATE POLICY tenant_wall ON campaigns.contacts AS RESTRICTIVE TO campaigns_app "
    f"USING ({_OWN}) WITH CHECK (true)"
)
_PEEK = (
    "CREATE FUNCTION campaigns.peek() RETURNS SETOF campaigns.contacts LANGUAGE sql STABLE SECURITY DEFINER "
    "SET search_path = pg_catalog BEGIN ATOMIC SELECT * FROM campaigns.contacts; END"
)
_VIEW = (
    "CREATE VIEW campaigns.everybody AS SELECT * FROM campaigns.contacts; "
    "GRANT SELECT ON campaigns.everybody TO campaigns_app"
)
_MATERIALIZED = (
    "CREATE MATERIALIZED VIEW campaigns.everybody AS SELECT * FROM campaigns.contacts; "
    "GRANT SELECT ON campaigns.everybody TO campaigns_app"
)
_PARTITION = (
    "DO $$ DECLARE name text; BEGIN "
    "SELECT inhrelid::regclass INTO name FROM pg_inherits "
    "WHERE inhparent = 'audit.events'::regclass LIMIT 1; "
    "EXECUTE 'ALTER TABLE ' || name || ' DISABLE ROW LEVEL SECURITY'; "
    "EXECUTE 'GRANT SELECT ON ' || name || ' TO audit_app'; END $$"
)
_LOOSE_REFERENCE = (
    "CREATE UNIQUE INDEX loose ON campaigns.lists (list_id); "
    "ALTER TABLE campaigns.list_contacts DROP CONSTRAINT list_contacts_list_fkey, "
    "ADD CONSTRAINT list_contacts_list_fkey FOREIGN KEY (list_id) REFERENCES campaigns.lists (list_id)"
)
_LOOSE_INBOX = (
    "ALTER TABLE tenancy.inbox DROP CONSTRAINT inbox_pkey; "
    "CREATE UNIQUE INDEX inbox_pkey ON tenancy.inbox (consumer, event_id)"
)
_TEMP = "DO $$ BEGIN EXECUTE format('GRANT TEMP ON DATABASE %I TO PUBLIC', current_database()); END $$"
_RELAY_READS = (
    "GRANT USAGE ON SCHEMA campaigns TO campaigns_relay; "
    "GRANT SELECT ON campaigns.contacts TO campaigns_relay; "
    "CREATE POLICY relay_rows ON campaigns.contacts FOR SELECT TO campaigns_relay USING (true)"
)
_WRITES, _POWERS = "test_sql_writes.py", "test_sql_powers.py"
_CATALOG = "test_catalog.py::test_database_keeps_every_rule"
_ROWS = "test_sql.py::test_each_tenant_sees_its_own_rows_in_every_table"
_OUTSIDE = "test_sql.py::test_outside_a_tenant_nothing_is_visible"
_ENTRY, _GRANTS = "test_entry.py", "test_grants.py"


def _campaigns(name: str, change: str | Rewrite, *suspects: str, undo: str | None = None) -> SchemaMutation:
    return SchemaMutation(name, "campaigns", change, suspects, undo)


_WALLS = (
    _campaigns("everything permitted on a table, and no wall", _OPEN_ONE, _ROWS),
    _campaigns("the wall dropped", "DROP POLICY tenant_wall ON campaigns.contacts", _CATALOG),
    _campaigns("the tenant's own policy dropped", "DROP POLICY tenant_rows ON campaigns.contacts", _ROWS),
    _campaigns(
        "everything permitted behind the wall",
        "CREATE POLICY door ON campaigns.contacts TO campaigns_app USING (true)",
        _CATALOG,
    ),
    _campaigns(
        "a policy for everybody", f"CREATE POLICY door ON campaigns.contacts USING ({_OWN})", _CATALOG
    ),
    _campaigns("writes not checked", _WRITES_UNCHECKED, _WRITES),
    _campaigns("row security off", "ALTER TABLE campaigns.contacts DISABLE ROW LEVEL SECURITY", _ROWS),
    _campaigns(
        "row security off on the members", "ALTER TABLE tenancy.members DISABLE ROW LEVEL SECURITY", _ROWS
    ),
    _campaigns(
        "row security not forced", "ALTER TABLE campaigns.contacts NO FORCE ROW LEVEL SECURITY", _CATALOG
    ),
    _campaigns(
        "the tenant of a row not filled in",
        "ALTER TABLE campaigns.contacts ALTER tenant_id DROP DEFAULT",
        "test_sql_writes.py::test_inserting_without_a_tenant_fills_in_the_entered_one",
    ),
)
_KEYS = (
    _campaigns("a reference without the tenant", _LOOSE_REFERENCE, _CATALOG),
    _campaigns(
        "a unique key without the tenant",
        "CREATE UNIQUE INDEX loose ON campaigns.contacts (email)",
        _CATALOG,
    ),
    _campaigns(
        "an index that does not begin with the tenant",
        "CREATE INDEX late ON campaigns.contacts (email, tenant_id)",
        "test_catalog.py::test_indexes_begin_with_the_tenant_or_are_listed",
    ),
    _campaigns(
        "the inbox without the tenant",
        _LOOSE_INBOX,
        "test_events.py::test_the_same_id_in_two_tenants_is_two_events_and_twice_in_one_is_one",
    ),
)
_GRANTED = (
    _campaigns("TRUNCATE granted", "GRANT TRUNCATE ON campaigns.contacts TO campaigns_app", _POWERS),
    _campaigns("temporary tables granted", _TEMP, _POWERS),
    _campaigns("large objects granted", "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC", _POWERS),
    _campaigns("the key readable", "GRANT SELECT ON tenancy.keys TO campaigns_app", _POWERS),
    _campaigns(
        "proofs for sale",
        "GRANT EXECUTE ON FUNCTION tenancy.seal_context(tenancy.keys, text) TO campaigns_app",
        _POWERS,
        _CATALOG,
    ),
    _campaigns("the outbox readable", "GRANT SELECT ON tenancy.outbox TO campaigns_app", _POWERS),
    _campaigns(
        "names of prepared statements readable",
        "GRANT SELECT ON pg_prepared_statements TO PUBLIC; "
        "GRANT EXECUTE ON FUNCTION pg_prepared_statement() TO PUBLIC",
        "test_poisoning.py",
    ),
    _campaigns("the relay reads contacts", _RELAY_READS, _GRANTS),
    _campaigns("the relay writes events", "GRANT INSERT ON tenancy.outbox TO campaigns_relay", _GRANTS),
    _campaigns("a definer function reads all tenants", _PEEK, _POWERS),
    _campaigns("a view of its owner's rows", _VIEW, _ROWS),
    _campaigns("a materialized view", _MATERIALIZED, _ROWS),
    SchemaMutation("a partition read directly", "audit", _PARTITION, (_ROWS,)),
    SchemaMutation(
        "ingestion may rewrite the log", "audit", "GRANT UPDATE ON audit.events TO audit_ingest", (_GRANTS,)
    ),
    _campaigns(
        "samples of people's words kept",
        "ALTER TABLE campaigns.contacts ALTER email SET STATISTICS 100",
        "test_poisoning.py",
    ),
)
_ENTRANCE = (
    _campaigns(
        "the seal not checked",
        Rewrite(
            "tenancy.current_tenant",
            "= tenancy.seal(key.*, current_setting('tenancy.context'::text, true))",
            "<> ''",
        ),
        _OUTSIDE,
    ),
    _campaigns(
        "the seal not bound to its transaction",
        Rewrite("tenancy.seal", "timestamptz_send(CURRENT_TIMESTAMP)", "'0'::bytea"),
        _OUTSIDE,
    ),
    _campaigns(
        "the seal not bound to its connection",
        Rewrite("tenancy.seal", "pg_backend_pid()", "0"),
        _ENTRY,
    ),
    _campaigns(
        "seals made without the key",
        Rewrite("tenancy.seal", "(key).seal_key ||", ""),
        _OUTSIDE,
        _ENTRY,
    ),
    _campaigns(
        "the context outlives its transaction",
        Rewrite(
            "tenancy.seal_context",
            "set_config('tenancy.context'::text, context, true)",
            "set_config('tenancy.context'::text, context, false)",
        ),
        "test_sql.py::test_nothing_of_the_context_is_left_after_a_transaction",
    ),
    _campaigns(
        "a second tenant may be entered",
        Rewrite("tenancy.is_elsewhere", "AND (tenancy.current_tenant() IS NOT NULL)", "AND false"),
        "test_sql.py::test_inside_a_tenant_only_its_rows_are_visible",
    ),
    _campaigns(
        "users pass for the platform",
        Rewrite("tenancy.system_tenant", "NOT LIKE 'system:%'", "NOT LIKE '%'"),
        _WRITES,
    ),
    _campaigns(
        "proofs of jobs not checked",
        Rewrite("tenancy.enter_system", "IS NOT TRUE", "IS NULL"),
        _OUTSIDE,
    ),
    _campaigns(
        "any purpose will do",
        Rewrite(
            "tenancy.enter_system", "(enter_system.purpose <> ALL", "(false AND enter_system.purpose <> ALL"
        ),
        _ENTRY,
    ),
    _campaigns(
        "proofs of users not checked",
        Rewrite("tenancy.enter", "IS NOT TRUE", "IS NULL"),
        _ENTRY,
    ),
    _campaigns(
        "members of other tenants let in",
        Rewrite("tenancy.enter", "(m.tenant_id = enter.tenant) AND", ""),
        _ENTRY,
    ),
    _campaigns(
        "ended sessions let in",
        Rewrite("tenancy.enter", "OR (r.session_id IS NOT NULL)", ""),
        _ENTRY,
    ),
    _campaigns(
        "revoked tokens let in",
        Rewrite("tenancy.enter", "OR (enter.issued_at < m.tokens_valid_from)", ""),
        _ENTRY,
    ),
    _campaigns(
        "deactivated members let in",
        Rewrite("tenancy.enter", "(m.status <> 'active'::text) OR", ""),
        _ENTRY,
    ),
    _campaigns(
        "deleted tenants let in",
        Rewrite("tenancy.enter", "WHEN (t.status = 'deleted'::text)", "WHEN false"),
        _ENTRY,
    ),
    _campaigns(
        "the entry's search path not pinned",
        "ALTER FUNCTION tenancy.current_tenant() RESET search_path",
        _CATALOG,
    ),
    SchemaMutation(
        "any tenant may list all tenants",
        "tenants",
        "CREATE OR REPLACE FUNCTION tenants.list_tenants(search text, wanted_status text, wanted_plan text, "
        "before uuid, batch integer) RETURNS TABLE (tenant_id uuid, company_name text, plan text, "
        "status text, suspensions text[], created_at timestamptz) "
        "LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp BEGIN ATOMIC "
        "SELECT t.tenant_id, t.company_name, t.plan, t.status, t.suspensions, t.created_at "
        "FROM tenants.tenants AS t ORDER BY t.tenant_id DESC LIMIT batch; END",
        (_POWERS,),
    ),
    *(
        SchemaMutation(
            f"any tenant may list all {what}",
            "tenants",
            Rewrite(f"tenants.list_{name}", _ON_AN_OPERATORS_WORD, "true"),
            (_POWERS,),
        )
        for what, name in (
            ("sign-ups", "sign_ups"),
            ("deletions", "deletions"),
            ("exports", "exports"),
            ("tenants' billing", "billing"),
        )
    ),
    SchemaMutation(
        "any tenant may ask whose comparison is ordered",
        "tenants",
        Rewrite("tenants.due_reconciliations", _FOR_THE_PLATFORMS_JOB, "true"),
        (_POWERS,),
    ),
    SchemaMutation(
        "any tenant may ask whose an address is",
        "auth",
        "CREATE OR REPLACE FUNCTION auth.accounts_of(address text, candidate_hash text) RETURNS TABLE "
        "(tenant_id uuid, tenant_name text, user_id uuid, open boolean, proven boolean, matches boolean) "
        "LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp BEGIN ATOMIC "
        "SELECT u.tenant_id, u.name, u.user_id, true, true, false FROM auth.users AS u "
        "WHERE u.email = address; END",
        (_POWERS,),
    ),
    SchemaMutation(
        "any tenant may give up another's domain",
        "tenants",
        "CREATE OR REPLACE FUNCTION tenants.release_domain(hash bytea) RETURNS boolean LANGUAGE sql VOLATILE "
        "SECURITY DEFINER SET search_path = pg_catalog, pg_temp BEGIN ATOMIC WITH own AS (DELETE FROM "
        "tenants.domain_claims WHERE domain_hash = hash RETURNING 1) SELECT EXISTS (SELECT FROM own); END",
        (_POWERS,),
    ),
    SchemaMutation(
        "any tenant may ask whose a customer at Stripe is",
        "tenants",
        "CREATE OR REPLACE FUNCTION tenants.tenants_of_customer(customer text) RETURNS SETOF uuid "
        "LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp BEGIN ATOMIC "
        "SELECT s.tenant_id FROM tenants.subscriptions AS s WHERE s.customer_id = customer; END",
        (_POWERS,),
    ),
)
_ROLES = (
    _campaigns(
        "the app past row security",
        "ALTER ROLE campaigns_app BYPASSRLS",
        _ROWS,
        undo="ALTER ROLE campaigns_app NOBYPASSRLS",
    ),
    _campaigns(
        "the app a superuser",
        "ALTER ROLE campaigns_app SUPERUSER",
        _ROWS,
        undo="ALTER ROLE campaigns_app NOSUPERUSER",
    ),
    _campaigns(
        "the app a member of the owner",
        "GRANT campaigns_owner TO campaigns_app",
        _POWERS,
        undo="REVOKE campaigns_owner FROM campaigns_app",
    ),
)

SCHEMA_MUTATIONS = (*_WALLS, *_KEYS, *_GRANTED, *_ENTRANCE, *_ROLES)
