"""What may be taken from the log: what is past its retention, and what is personal of a deleted tenant."""

from alembic import op

from common.db.migrate import run_script

revision = "audit_0002"
down_revision = "audit_0001"
branch_labels = None
depends_on = ("kernel_0004",)

_SCRIPT = """
-- The platform's job reaches these rows of one tenant through the functions below only.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['events', 'action_contexts', 'verdicts', 'open_accesses',
                                'quarantine'] LOOP
        EXECUTE format('CREATE POLICY erasure ON audit.%I TO audit_owner
                        USING (tenant_id = tenancy.system_tenant())
                        WITH CHECK (tenant_id = tenancy.system_tenant())', name);
    END LOOP;
END $$;

-- The tenant of a job's context, if it is deleted; else an error. Waits until no batch is being recorded
-- that may not have seen the deletion: those share the lock.
CREATE FUNCTION audit.deleted_tenant() RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := tenancy.system_tenant();
BEGIN
    PERFORM pg_advisory_xact_lock(x'65726173'::int);
    IF NOT EXISTS (SELECT FROM tenancy.tenants AS t WHERE t.tenant_id = tenant AND t.status = 'deleted') THEN
        RAISE EXCEPTION 'the tenant is not deleted' USING ERRCODE = '42501';
    END IF;
    RETURN tenant;
END $$;

-- Empties what is personal through and through, a batch of the first table that has any.
CREATE FUNCTION audit.erase_records(batch integer, OUT name text, OUT erased bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := audit.deleted_tenant();
BEGIN
    FOREACH name IN ARRAY ARRAY['action_contexts', 'open_accesses', 'quarantine', 'ownership'] LOOP
        EXECUTE format('DELETE FROM audit.%I WHERE tenant_id = $1 AND (tableoid, ctid) IN (
                            SELECT tableoid, ctid FROM audit.%I WHERE tenant_id = $1 LIMIT $2)', name, name)
            USING tenant, batch;
        GET DIAGNOSTICS erased = ROW_COUNT;
        EXIT WHEN erased > 0;
    END LOOP;
    name := 'audit.' || name;
END $$;

-- Blanks the events after a time, a batch and all of its last moment; `last`: where to go on (NULL: done).
CREATE FUNCTION audit.blank_events(after timestamptz, batch integer,
                                   OUT last timestamptz, OUT blanked bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := audit.deleted_tenant();
BEGIN
    SELECT max(b.occurred_at) INTO last FROM (
        SELECT e.occurred_at FROM audit.events AS e WHERE e.tenant_id = tenant AND e.occurred_at > after
        ORDER BY e.occurred_at LIMIT batch) AS b;
    UPDATE audit.events AS e SET actor_id = NULL, email = NULL, ip = NULL, user_agent = NULL,
        target_id = NULL, request_id = NULL, trace_id = NULL, changes = NULL
    WHERE e.tenant_id = tenant AND e.occurred_at > after AND e.occurred_at <= last;
    GET DIAGNOSTICS blanked = ROW_COUNT;
END $$;

-- Takes events from the old end of a tenant's log, a batch and all of its last moment, as its feature
-- `data_retention_days` says. How old they must be is not the caller's to choose.
CREATE FUNCTION audit.trim(batch integer, OUT days integer, OUT first timestamptz, OUT last timestamptz,
                           OUT trimmed bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := tenancy.system_tenant();
BEGIN
    SELECT (t.features ->> 'data_retention_days')::integer INTO days FROM tenancy.tenants AS t
    WHERE t.tenant_id = tenant AND t.status <> 'deleted';
    SELECT min(b.occurred_at), max(b.occurred_at) INTO first, last FROM (
        SELECT e.occurred_at FROM audit.events AS e
        WHERE e.tenant_id = tenant AND e.occurred_at < now() - make_interval(days => days)
        ORDER BY e.occurred_at LIMIT batch) AS b;
    DELETE FROM audit.verdicts AS v WHERE v.tenant_id = tenant AND v.occurred_at <= last;
    DELETE FROM audit.action_contexts AS c WHERE c.tenant_id = tenant AND c.occurred_at <= last;
    DELETE FROM audit.events AS e WHERE e.tenant_id = tenant AND e.occurred_at <= last;
    GET DIAGNOSTICS trimmed = ROW_COUNT;
END $$;

REVOKE ALL ON FUNCTION audit.deleted_tenant(), audit.trim(integer), audit.erase_records(integer),
    audit.blank_events(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.erase_records(integer), audit.blank_events(timestamptz, integer),
    audit.trim(integer) TO audit_app;

-- Ingestion learns nothing personal of a deleted tenant any more.
CREATE POLICY ingest_reads ON tenancy.tenants FOR SELECT TO audit_ingest USING (true);
GRANT SELECT (tenant_id, status) ON tenancy.tenants TO audit_ingest;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SCRIPT)
