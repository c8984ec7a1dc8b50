"""Let retention take from the log's other tables too what is past it."""

from alembic import op

from common.db.migrate import run_script

revision = "audit_0003"
down_revision = "audit_0002"
branch_labels = None
depends_on = None

# Events go first, oldest first; then what else is as old, a batch of the first table that has any. That a
# resource is no more is known a month longer: by then no topic can bring its birth again.
_SCRIPT = """
CREATE INDEX ownership_by_end ON audit.ownership (tenant_id, died_at) WHERE died_at IS NOT NULL;

DROP FUNCTION audit.trim(integer);
CREATE FUNCTION audit.trim(batch integer, OUT days integer, OUT first timestamptz, OUT last timestamptz,
                           OUT trimmed bigint, OUT records bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := tenancy.system_tenant();
    before timestamptz;
    place record;
BEGIN
    SELECT (t.features ->> 'data_retention_days')::integer INTO days FROM tenancy.tenants AS t
    WHERE t.tenant_id = tenant AND t.status <> 'deleted';
    before := now() - make_interval(days => days);
    records := 0;
    SELECT min(b.occurred_at), max(b.occurred_at) INTO first, last FROM (
        SELECT e.occurred_at FROM audit.events AS e
        WHERE e.tenant_id = tenant AND e.occurred_at < before
        ORDER BY e.occurred_at LIMIT batch) AS b;
    DELETE FROM audit.verdicts AS v WHERE v.tenant_id = tenant AND v.occurred_at <= last;
    DELETE FROM audit.action_contexts AS c WHERE c.tenant_id = tenant AND c.occurred_at <= last;
    DELETE FROM audit.events AS e WHERE e.tenant_id = tenant AND e.occurred_at <= last;
    GET DIAGNOSTICS trimmed = ROW_COUNT;
    IF trimmed > 0 THEN
        RETURN;
    END IF;
    FOR place IN SELECT * FROM (VALUES ('open_accesses', 'occurred_at', before),
                                       ('quarantine', 'quarantined_at', before),
                                       ('ownership', 'died_at', before - interval '30 days'))
                               AS p (name, moment, bound) LOOP
        EXECUTE format('WITH gone AS (DELETE FROM audit.%1$I WHERE tenant_id = $1 AND %2$I < $2 AND ctid IN (
                            SELECT ctid FROM audit.%1$I WHERE tenant_id = $1 AND %2$I < $2 LIMIT $3)
                            RETURNING %2$I AS at)
                        SELECT count(*), min(at), max(at) FROM gone', place.name, place.moment)
            INTO records, first, last USING tenant, place.bound, batch;
        EXIT WHEN records > 0;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION audit.trim(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.trim(integer) TO audit_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SCRIPT)
