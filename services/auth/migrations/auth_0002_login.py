"""Look-up of the accounts of an address, for logging in."""

from alembic import op

from common.db.migrate import run_script

revision = "auth_0002"
down_revision = "auth_0001"
branch_labels = None
depends_on = None

# The password's hash is compared here: no hash of any tenant ever leaves the database this way.
_ACCOUNTS = """
CREATE INDEX users_by_email ON auth.users (email);
CREATE POLICY accounts_of_an_address ON auth.users FOR SELECT TO auth_owner USING (true);
CREATE FUNCTION auth.accounts_of(address text, candidate_hash text)
    RETURNS TABLE (tenant_id uuid, tenant_name text, user_id uuid, open boolean, matches boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT u.tenant_id, t.name, u.user_id, u.status = 'active' AND t.status <> 'deleted',
           coalesce(u.password_hash = candidate_hash, false)
    FROM auth.users AS u JOIN tenancy.tenants AS t ON t.tenant_id = u.tenant_id
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid AND u.email = address
    ORDER BY u.tenant_id;
END;
REVOKE ALL ON FUNCTION auth.accounts_of(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.accounts_of(text, text) TO auth_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _ACCOUNTS)
