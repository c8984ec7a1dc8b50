"""Let operators act for a tenant: `platform` joins the purposes for which the system enters one."""

from alembic import op

from common.db.migrate import run_script

revision = "kernel_0003"
down_revision = "kernel_0002"
branch_labels = None
depends_on = None

_ENTER_SYSTEM = """
CREATE OR REPLACE FUNCTION tenancy.enter_system(tenant uuid, purpose text, proof bytea) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    context text := format('system:%s|%s', purpose, tenant);
    proven boolean;
    seal text;
BEGIN
    SELECT proof = tenancy.mac(key, format('system|%s|%s|%s', tenant, purpose, pg_backend_pid())),
           tenancy.seal(key, context)
        INTO proven, seal FROM tenancy.keys AS key;
    IF proven IS NOT TRUE THEN
        RAISE EXCEPTION 'tenancy proof refused' USING ERRCODE = '42501';
    END IF;
    IF purpose NOT IN ('event', 'job', 'provisioning', 'access', 'token', 'public', 'platform') THEN
        RAISE EXCEPTION 'unknown purpose' USING ERRCODE = '42501';
    END IF;
    PERFORM tenancy.put_context(context, seal);
END $$;

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
    run_script(op.get_bind(), _ENTER_SYSTEM)
