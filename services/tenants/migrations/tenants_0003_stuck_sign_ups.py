"""What operators need to find, explain and resume sign-ups that are stuck."""

from alembic import op

from common.db.migrate import run_script

revision = "tenants_0003"
down_revision = "tenants_0002"
branch_labels = None
depends_on = None

_STUCK = """
ALTER TABLE tenants.provisioning_steps ADD COLUMN next_attempt_at timestamptz;
CREATE INDEX provisionings_unfinished ON tenants.provisionings (started_at) WHERE finished_at IS NULL;

CREATE POLICY unfinished_sign_ups ON tenants.provisionings FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.unfinished_sign_ups() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.tenant_id FROM tenants.provisionings AS p
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid AND p.finished_at IS NULL
    ORDER BY p.started_at;
END;
REVOKE ALL ON FUNCTION tenants.unfinished_sign_ups() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.unfinished_sign_ups() TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _STUCK)
