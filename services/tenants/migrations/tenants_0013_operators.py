"""What operators see across tenants (sign-ups, deletions, exports, billing), and what they order."""

from alembic import op

from common.db.catalog import mark_reviewed
from common.db.migrate import run_script

revision = "tenants_0013"
down_revision = "tenants_0012"
branch_labels = None
depends_on = None

_ONE_A_DAY = "the code before writes one row a day, and finds it by its day as it did"
CONTRACTS = {
    "constraint tenants.reconciliations.reconciliations_day_key: new": _ONE_A_DAY,
    "constraint tenants.reconciliations.reconciliations_pkey: new": _ONE_A_DAY,
    "unique index tenants.reconciliations.reconciliations_ordered: new": "the code before writes no row "
    "without a day",
}

# Finished or not, failed or not: which status that is, the service says.
_SIGN_UPS = """
CREATE POLICY operators_look ON tenants.provisioning_steps FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.list_sign_ups(finished boolean, failed boolean, stuck_since timestamptz, before uuid,
                                      batch integer)
    RETURNS TABLE (tenant_id uuid, started_at timestamptz, ready_at timestamptz, finished_at timestamptz,
                   steps jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.tenant_id, p.started_at, p.ready_at, p.finished_at, s.steps
    FROM tenants.provisionings AS p
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(x.name, x.status) AS steps,
               coalesce(bool_or(x.status = 'failed'), false) AS bad
        FROM tenants.provisioning_steps AS x WHERE x.tenant_id = p.tenant_id) AS s
    WHERE tenancy.is_platform()
      AND (before IS NULL OR p.tenant_id < before)
      AND (finished IS NULL OR (p.finished_at IS NOT NULL) = finished)
      AND (failed IS NULL OR s.bad = failed)
      AND (stuck_since IS NULL OR (p.finished_at IS NULL AND (s.bad OR p.started_at <= stuck_since)))
    ORDER BY p.tenant_id DESC LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.list_sign_ups(boolean, boolean, timestamptz, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.list_sign_ups(boolean, boolean, timestamptz, uuid, integer) TO tenants_app;
"""

_DELETIONS = """
CREATE POLICY operators_look ON tenants.erasure_reports FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.list_deletions(begun boolean, certified boolean, stuck boolean, before uuid,
                                       batch integer)
    RETURNS TABLE (tenant_id uuid, scheduled_at timestamptz, erase_at timestamptz, begun_at timestamptz,
                   deleted_at timestamptz, erased_at timestamptz, certified_at timestamptz,
                   next_step_at timestamptz, attempts integer, problem text, reported text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.tenant_id, d.scheduled_at, d.erase_at, d.begun_at, d.deleted_at, d.erased_at, d.certified_at,
           d.next_step_at, d.attempts, d.problem,
           ARRAY(SELECT r.service FROM tenants.erasure_reports AS r
                 WHERE r.tenant_id = d.tenant_id ORDER BY r.service)
    FROM tenants.deletions AS d
    WHERE tenancy.is_platform()
      AND (before IS NULL OR d.tenant_id < before)
      AND (begun IS NULL OR (d.begun_at IS NOT NULL) = begun)
      AND (certified IS NULL OR (d.certified_at IS NOT NULL) = certified)
      AND (NOT stuck OR (d.problem IS NOT NULL AND d.certified_at IS NULL))
    ORDER BY d.tenant_id DESC LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.list_deletions(boolean, boolean, boolean, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.list_deletions(boolean, boolean, boolean, uuid, integer) TO tenants_app;
"""

_EXPORTS = """
CREATE POLICY operators_look ON tenants.export_parts FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.list_exports(wanted_status text, wanted_tenant uuid, before uuid, batch integer)
    RETURNS TABLE (tenant_id uuid, job_id uuid, status text, requested_at timestamptz, expires_at timestamptz,
                   error text, written text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT e.tenant_id, e.job_id, e.status, e.requested_at, e.expires_at, e.error,
           ARRAY(SELECT p.service FROM tenants.export_parts AS p
                 WHERE p.tenant_id = e.tenant_id AND p.job_id = e.job_id ORDER BY p.service)
    FROM tenants.exports AS e
    WHERE tenancy.is_platform()
      AND (before IS NULL OR e.job_id < before)
      AND (wanted_status IS NULL OR e.status = wanted_status)
      AND (wanted_tenant IS NULL OR e.tenant_id = wanted_tenant)
    ORDER BY e.job_id DESC LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.list_exports(text, uuid, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.list_exports(text, uuid, uuid, integer) TO tenants_app;
"""

_BILLING = """
ALTER TABLE tenants.subscriptions ADD COLUMN problem text;
SELECT tenancy.hide_values('tenants.subscriptions');
CREATE FUNCTION tenants.list_billing(wanted_status text, stuck boolean, before uuid, batch integer)
    RETURNS TABLE (tenant_id uuid, plan text, status text, customer_id text, subscription_id text,
                   wanted_plan text, attempts integer, next_attempt_at timestamptz, is_claimed boolean,
                   suspend_at timestamptz, problem text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.tenant_id, s.plan, s.status, s.customer_id, s.subscription_id, s.wanted_plan, s.attempts,
           s.next_attempt_at, s.claim IS NOT NULL, s.suspend_at, s.problem
    FROM tenants.subscriptions AS s
    WHERE tenancy.is_platform()
      AND (before IS NULL OR s.tenant_id < before)
      AND (wanted_status IS NULL OR s.status = wanted_status)
      AND (NOT stuck OR (s.problem IS NOT NULL AND NOT (s.claim IS NOT NULL AND s.next_attempt_at IS NULL)))
    ORDER BY s.tenant_id DESC LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.list_billing(text, boolean, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.list_billing(text, boolean, uuid, integer) TO tenants_app;
"""

# A comparison of a day has that day; one that an operator ordered has none, and is the platform's (of all
# tenants) or the tenant's that it is of. Of those that are not finished there is one of each kind.
_RECONCILIATIONS = """
ALTER TABLE tenants.reconciliations
    ADD COLUMN job_id uuid NOT NULL DEFAULT uuidv7(),
    ADD COLUMN requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN dry_run boolean NOT NULL DEFAULT false,
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN error text,
    DROP CONSTRAINT reconciliations_pkey,
    ADD PRIMARY KEY (tenant_id, job_id),
    ADD CONSTRAINT reconciliations_day_key UNIQUE (tenant_id, day);
ALTER TABLE tenants.reconciliations ALTER COLUMN day DROP NOT NULL;
SELECT tenancy.hide_values('tenants.reconciliations');
CREATE UNIQUE INDEX reconciliations_ordered ON tenants.reconciliations (tenant_id, dry_run)
    WHERE day IS NULL AND finished_at IS NULL;
CREATE POLICY due_reconciliations ON tenants.reconciliations FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.due_reconciliations(batch integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT r.tenant_id FROM tenants.reconciliations AS r
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND r.day IS NULL AND r.finished_at IS NULL
      AND (r.claimed_until IS NULL OR r.claimed_until < clock_timestamp())
    GROUP BY r.tenant_id ORDER BY min(r.requested_at) LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.due_reconciliations(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.due_reconciliations(integer) TO tenants_app;
"""

_LOOKS = "shown to the platform only, acting for itself on an operator's word"
_EXCEPTIONS = {
    "FUNCTION tenants.list_sign_ups": _LOOKS,
    "FUNCTION tenants.list_deletions": _LOOKS,
    "FUNCTION tenants.list_exports": _LOOKS,
    "FUNCTION tenants.list_billing": _LOOKS,
    "FUNCTION tenants.due_reconciliations": "tells the platform's job whose is ordered: ids only",
    "POLICY operators_look ON tenants.provisioning_steps": "for list_sign_ups",
    "POLICY operators_look ON tenants.erasure_reports": "for list_deletions",
    "POLICY operators_look ON tenants.export_parts": "for list_exports",
    "POLICY due_reconciliations ON tenants.reconciliations": "for due_reconciliations",
}


def upgrade() -> None:
    reviewed = mark_reviewed(_EXCEPTIONS)
    for script in (_SIGN_UPS, _DELETIONS, _EXPORTS, _BILLING, _RECONCILIATIONS, reviewed):
        run_script(op.get_bind(), script)
