"""Tell the log-in whether an account's address is proven to be its user's."""

from alembic import op

from common.db.migrate import run_script

revision = "auth_0004"
down_revision = "auth_0003"
branch_labels = None
depends_on = None

CONTRACTS = {
    "function auth.accounts_of(text,text): true TABLE(tenant_id uuid, tenant_name text, user_id uuid, "
    "open boolean, matches boolean) became true TABLE(tenant_id uuid, tenant_name text, user_id uuid, "
    "open boolean, proven boolean, matches boolean)": "one column more; callers name those they read"
}

_ACCOUNTS = """
DROP FUNCTION auth.accounts_of(text, text);
CREATE FUNCTION auth.accounts_of(address text, candidate_hash text)
    RETURNS TABLE (tenant_id uuid, tenant_name text, user_id uuid, open boolean, proven boolean,
                   matches boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT u.tenant_id, t.name, u.user_id, u.status = 'active' AND t.status <> 'deleted',
           u.password_hash IS NOT NULL, coalesce(u.password_hash = candidate_hash, false)
    FROM auth.users AS u JOIN tenancy.tenants AS t ON t.tenant_id = u.tenant_id
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid AND u.email = address
    ORDER BY u.tenant_id;
END;
REVOKE ALL ON FUNCTION auth.accounts_of(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.accounts_of(text, text) TO auth_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _ACCOUNTS)
