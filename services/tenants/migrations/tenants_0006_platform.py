"""Let operators list and search tenants: the one look across all of them."""

from alembic import op

from common.db.migrate import run_script

revision = "tenants_0006"
down_revision = "tenants_0005"
branch_labels = None
depends_on = ("kernel_0003",)

_LIST = """
CREATE POLICY operators_look ON tenants.tenants FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.list_tenants(search text, wanted_status text, wanted_plan text, before uuid,
                                     batch integer)
    RETURNS TABLE (tenant_id uuid, company_name text, plan text, status text, suspensions text[],
                   created_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.tenant_id, t.company_name, t.plan, t.status, t.suspensions, t.created_at
    FROM tenants.tenants AS t
    WHERE tenancy.is_platform()
      AND (before IS NULL OR t.tenant_id < before)
      AND (wanted_status IS NULL OR t.status = wanted_status)
      AND (wanted_plan IS NULL OR t.plan = wanted_plan)
      AND (search IS NULL OR position(lower(search) IN lower(t.company_name)) > 0)
    ORDER BY t.tenant_id DESC LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.list_tenants(text, text, text, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.list_tenants(text, text, text, uuid, integer) TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _LIST)
