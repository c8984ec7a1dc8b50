"""Deletions of tenants and their certificates; exports of all that is a tenant's."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "tenants_0007"
down_revision = "tenants_0006"
branch_labels = None
depends_on = ("kernel_0004",)

# Both outlive their tenant: they refer to nothing, and hold ids, times and numbers only.
_TABLES = """
CREATE TABLE tenants.deletions (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() PRIMARY KEY,
    scheduled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    erase_at timestamptz NOT NULL,
    deleted_at timestamptz,
    erased_at timestamptz,
    certified_at timestamptz,
    certificate jsonb,
    CHECK (erased_at IS NULL OR deleted_at IS NOT NULL),
    CHECK ((certified_at IS NULL) = (certificate IS NULL))
);
CREATE INDEX deletions_open ON tenants.deletions (erase_at) WHERE certified_at IS NULL;
CREATE TABLE tenants.exports (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    job_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_step_at timestamptz NOT NULL,
    expires_at timestamptz,
    error text,
    PRIMARY KEY (tenant_id, job_id)
);
CREATE INDEX exports_due ON tenants.exports (next_step_at) WHERE next_step_at < 'infinity';
CREATE TABLE tenants.export_parts (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    job_id uuid NOT NULL,
    service text NOT NULL,
    resources jsonb NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, job_id, service),
    FOREIGN KEY (tenant_id, job_id) REFERENCES tenants.exports ON DELETE CASCADE
);
CREATE TABLE tenants.erasure_reports (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() REFERENCES tenants.deletions,
    service text NOT NULL,
    report jsonb NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, service)
);
"""

_DUE = """
CREATE POLICY due_deletions ON tenants.deletions FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.due_deletions(batch integer, retention interval) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.tenant_id FROM tenants.deletions AS d
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND d.certified_at IS NULL
      AND CASE WHEN d.deleted_at IS NULL THEN d.erase_at ELSE d.erased_at + retention END <= clock_timestamp()
    ORDER BY d.erase_at LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.due_deletions(integer, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.due_deletions(integer, interval) TO tenants_app;

CREATE POLICY due_exports ON tenants.exports FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.due_exports(batch integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT e.tenant_id FROM tenants.exports AS e
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND e.next_step_at <= clock_timestamp()
    GROUP BY e.tenant_id ORDER BY min(e.next_step_at) LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.due_exports(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.due_exports(integer) TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLES)
    for table in ("deletions", "erasure_reports", "exports", "export_parts"):
        for statement in protect("tenants", f"tenants.{table}"):
            op.execute(statement)
    run_script(op.get_bind(), _DUE)
