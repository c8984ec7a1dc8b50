"""What tenants ask of every service: to be erased, and to get a copy of all that is theirs."""

from alembic import context, op

from common.db.migrate import run_script

revision = "kernel_0004"
down_revision = "kernel_0003"
branch_labels = None
depends_on = None

_SQL = """
-- One row for each deleted tenant. `fenced_at`: whoever has begun since has seen the deletion; `counts`: rows
-- erased by table; `progress`: how far the service's own erasers are; `erased_at`: all is done and told.
CREATE TABLE tenancy.erasures (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    fenced_at timestamptz,
    next_step_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    counts jsonb NOT NULL DEFAULT '{}',
    progress jsonb NOT NULL DEFAULT '{}',
    erased_at timestamptz
);
CREATE INDEX erasures_due ON tenancy.erasures (next_step_at) WHERE erased_at IS NULL;

ALTER TABLE tenancy.erasures ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT tenancy.hide_values('tenancy.erasures');
CREATE POLICY tenant_wall ON tenancy.erasures AS RESTRICTIVE TO {service}_app
    USING (tenant_id = tenancy.current_tenant()) WITH CHECK (tenant_id = tenancy.current_tenant());
CREATE POLICY platform_rows ON tenancy.erasures TO {service}_app
    USING (tenant_id = tenancy.system_tenant()) WITH CHECK (tenant_id = tenancy.system_tenant());
GRANT SELECT, INSERT, UPDATE ON tenancy.erasures TO {service}_app;

CREATE POLICY due_erasures ON tenancy.erasures FOR SELECT TO {service}_owner USING (true);
CREATE FUNCTION tenancy.due_erasures(batch integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT e.tenant_id FROM tenancy.erasures AS e
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND e.erased_at IS NULL AND e.next_step_at <= clock_timestamp()
    ORDER BY e.next_step_at LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenancy.due_erasures(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.due_erasures(integer) TO {service}_app;

-- One row for each export that this service has a part in. `written_at`: the part is written and told.
CREATE TABLE tenancy.exports (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    job_id uuid NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    written_at timestamptz,
    PRIMARY KEY (tenant_id, job_id)
);
CREATE INDEX exports_due ON tenancy.exports (next_attempt_at) WHERE written_at IS NULL;

ALTER TABLE tenancy.exports ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_wall ON tenancy.exports AS RESTRICTIVE TO {service}_app
    USING (tenant_id = tenancy.current_tenant()) WITH CHECK (tenant_id = tenancy.current_tenant());
CREATE POLICY platform_rows ON tenancy.exports TO {service}_app
    USING (tenant_id = tenancy.system_tenant()) WITH CHECK (tenant_id = tenancy.system_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenancy.exports TO {service}_app;

CREATE POLICY due_exports ON tenancy.exports FOR SELECT TO {service}_owner USING (true);
CREATE FUNCTION tenancy.due_exports(batch integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT e.tenant_id FROM tenancy.exports AS e
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND e.written_at IS NULL AND e.next_attempt_at <= clock_timestamp()
    GROUP BY e.tenant_id ORDER BY min(e.next_attempt_at) LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenancy.due_exports(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.due_exports(integer) TO {service}_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SQL.replace("{service}", context.config.attributes["service"]))
