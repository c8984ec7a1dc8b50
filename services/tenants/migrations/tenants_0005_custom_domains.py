"""Custom domains of tenants, and the claims that keep them unique on the platform."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "tenants_0005"
down_revision = "tenants_0004"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE tenants.custom_domains (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() PRIMARY KEY REFERENCES tenants.tenants,
    domain text NOT NULL,
    verified_at timestamptz,
    checked_at timestamptz,
    problem text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Nobody but its owner has a grant on it; the functions below tell a tenant about its own claim, and of
-- another's only that it is in the way.
CREATE TABLE tenants.domain_claims (
    domain_hash bytea NOT NULL PRIMARY KEY CHECK (length(domain_hash) = 32),
    tenant_id uuid NOT NULL,
    verified boolean NOT NULL DEFAULT false,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
# A claim that DNS has not confirmed for a week is no obstacle: nobody keeps a name by writing it down.
_FUNCTIONS = """
CREATE FUNCTION tenants.claim_domain(hash bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH claimed AS (
        INSERT INTO tenants.domain_claims AS c (domain_hash, tenant_id)
        SELECT hash, tenancy.current_tenant() WHERE tenancy.current_tenant() IS NOT NULL
        ON CONFLICT (domain_hash) DO UPDATE SET tenant_id = excluded.tenant_id,
            verified = c.verified AND c.tenant_id = excluded.tenant_id, claimed_at = clock_timestamp()
        WHERE c.tenant_id = excluded.tenant_id
           OR (NOT c.verified AND c.claimed_at < clock_timestamp() - interval '7 days')
        RETURNING 1
    ) SELECT EXISTS (SELECT FROM claimed);
END;
CREATE FUNCTION tenants.confirm_domain(hash bytea, confirmed boolean) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH own AS (
        UPDATE tenants.domain_claims SET verified = confirmed
        WHERE domain_hash = hash AND tenant_id = tenancy.current_tenant() RETURNING 1
    ) SELECT EXISTS (SELECT FROM own);
END;
CREATE FUNCTION tenants.release_domain(hash bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH own AS (
        DELETE FROM tenants.domain_claims
        WHERE domain_hash = hash AND tenant_id = tenancy.current_tenant() RETURNING 1
    ) SELECT EXISTS (SELECT FROM own);
END;
CREATE FUNCTION tenants.erase_claims() RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH own AS (
        DELETE FROM tenants.domain_claims AS c USING tenancy.tenants AS t
        WHERE t.tenant_id = tenancy.system_tenant() AND t.status = 'deleted' AND c.tenant_id = t.tenant_id
        RETURNING 1
    ) SELECT count(*) FROM own;
END;
REVOKE ALL ON FUNCTION tenants.claim_domain(bytea), tenants.confirm_domain(bytea, boolean),
    tenants.release_domain(bytea), tenants.erase_claims() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.claim_domain(bytea), tenants.confirm_domain(bytea, boolean),
    tenants.release_domain(bytea), tenants.erase_claims() TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLES)
    for statement in protect("tenants", "tenants.custom_domains"):
        op.execute(statement)
    run_script(op.get_bind(), _FUNCTIONS)
