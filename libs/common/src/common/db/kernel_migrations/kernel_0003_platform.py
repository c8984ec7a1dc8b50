"""Let definer functions tell the platform, acting on an operator's word, from everybody else."""

from alembic import op

from common.db.migrate import run_script

revision = "kernel_0003"
down_revision = "kernel_0002"
branch_labels = None
depends_on = None

_PLATFORM = """
-- For definer functions that look across tenants: nothing but the platform, acting for itself on an
-- operator's word, may use them.
CREATE FUNCTION tenancy.is_platform() RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce(current_setting('tenancy.context', true), '') LIKE 'system:platform|%'
        AND tenancy.current_tenant() IS NOT DISTINCT FROM '00000000-0000-0000-0000-000000000000'::uuid;
END $$;
REVOKE ALL ON FUNCTION tenancy.is_platform() FROM PUBLIC;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _PLATFORM)
