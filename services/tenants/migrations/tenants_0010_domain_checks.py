"""Look custom domains up again and again, and let nobody keep a name by writing it down again."""

from alembic import op

from common.db.migrate import run_script

revision = "tenants_0010"
down_revision = "tenants_0009"
branch_labels = None
depends_on = None

# A claim that DNS never confirmed keeps its age, whoever gives it up and takes it again: given up, it is in
# nobody's way (`released`), and a week after it was first made neither. One that DNS confirmed for a time
# has a week from the day that it did no longer.
_CLAIMS = """
ALTER TABLE tenants.domain_claims ADD COLUMN released boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION tenants.claim_domain(hash bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH claimed AS (
        INSERT INTO tenants.domain_claims AS c (domain_hash, tenant_id)
        SELECT hash, tenancy.current_tenant() WHERE tenancy.current_tenant() IS NOT NULL
        ON CONFLICT (domain_hash) DO UPDATE SET tenant_id = excluded.tenant_id, released = false,
            verified = c.verified AND c.tenant_id = excluded.tenant_id,
            claimed_at = CASE WHEN c.tenant_id = excluded.tenant_id THEN c.claimed_at
                              ELSE clock_timestamp() END
        WHERE c.tenant_id = excluded.tenant_id
           OR (NOT c.verified AND (c.released OR c.claimed_at < clock_timestamp() - interval '7 days'))
        RETURNING 1
    ) SELECT EXISTS (SELECT FROM claimed);
END;
CREATE OR REPLACE FUNCTION tenants.confirm_domain(hash bytea, confirmed boolean) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH own AS (
        UPDATE tenants.domain_claims AS c SET verified = confirmed,
            claimed_at = CASE WHEN c.verified AND NOT confirmed THEN clock_timestamp() ELSE c.claimed_at END
        WHERE c.domain_hash = hash AND c.tenant_id = tenancy.current_tenant() RETURNING 1
    ) SELECT EXISTS (SELECT FROM own);
END;
CREATE OR REPLACE FUNCTION tenants.release_domain(hash bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH freed AS (
        DELETE FROM tenants.domain_claims AS c
        WHERE c.domain_hash = hash AND c.tenant_id = tenancy.current_tenant() AND c.verified RETURNING 1
    ), released AS (
        UPDATE tenants.domain_claims AS c SET released = true
        WHERE c.domain_hash = hash AND c.tenant_id = tenancy.current_tenant() AND NOT c.verified RETURNING 1
    ) SELECT EXISTS (SELECT FROM freed UNION ALL SELECT FROM released);
END;
"""
_CHECKS = """
ALTER TABLE tenants.custom_domains ADD COLUMN next_check_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX custom_domains_due ON tenants.custom_domains (next_check_at) WHERE verified_at IS NOT NULL;

CREATE POLICY due_domains ON tenants.custom_domains FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.due_domains(batch integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.tenant_id FROM tenants.custom_domains AS d
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND d.verified_at IS NOT NULL AND d.next_check_at <= clock_timestamp()
    ORDER BY d.next_check_at LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.due_domains(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.due_domains(integer) TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _CLAIMS)
    run_script(op.get_bind(), _CHECKS)
