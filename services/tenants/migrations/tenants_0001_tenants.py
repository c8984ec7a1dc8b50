"""Tenants, their provisioning and their subscription."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "tenants_0001"
down_revision = None
branch_labels = ("tenants",)
depends_on = ("kernel_0001",)

_TABLES = """
CREATE SCHEMA tenants;
GRANT USAGE ON SCHEMA tenants TO tenants_app;

CREATE TABLE tenants.tenants (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() PRIMARY KEY,
    company_name text NOT NULL,
    plan text NOT NULL CHECK (plan IN ('starter', 'professional', 'enterprise')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleting', 'deleted')),
    owner_user_id uuid NOT NULL,
    default_workspace_id uuid NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    settings_version bigint NOT NULL DEFAULT 1,
    limit_overrides jsonb NOT NULL DEFAULT '{}',
    feature_overrides jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE tenants.provisionings (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() PRIMARY KEY REFERENCES tenants.tenants,
    owner_email text NOT NULL,
    owner_name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready_at timestamptz,
    finished_at timestamptz
);
CREATE TABLE tenants.provisioning_steps (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() REFERENCES tenants.provisionings,
    name text NOT NULL,
    place integer NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'done', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    finished_at timestamptz,
    error text,
    PRIMARY KEY (tenant_id, name)
);
CREATE TABLE tenants.subscriptions (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() PRIMARY KEY REFERENCES tenants.tenants,
    plan text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    customer_key text NOT NULL,
    customer_id text,
    subscription_key text NOT NULL,
    subscription_id text,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT clock_timestamp(),
    claim uuid,
    first_asked_at timestamptz,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX subscriptions_due ON tenants.subscriptions (next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;

-- Of the platform's tenant, written and read in its own contexts only.
CREATE TABLE tenants.sign_up_keys (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    new_tenant_id uuid NOT NULL,
    owner_user_id uuid NOT NULL,
    default_workspace_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, key_hash)
);
"""

_DUE = """
CREATE POLICY due_billing ON tenants.subscriptions FOR SELECT TO tenants_owner USING (true);
CREATE FUNCTION tenants.due_billing_tenants(batch integer, lease interval) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.tenant_id FROM tenants.subscriptions AS s
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND s.next_attempt_at <= clock_timestamp()
      AND (s.claim IS NULL OR pg_postmaster_start_time() < clock_timestamp() - lease)
    ORDER BY s.next_attempt_at LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.due_billing_tenants(integer, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.due_billing_tenants(integer, interval) TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLES)
    for table in ("tenants", "provisionings", "provisioning_steps", "subscriptions", "sign_up_keys"):
        for statement in protect("tenants", f"tenants.{table}"):
            op.execute(statement)
    own = "tenant_id = tenancy.system_tenant()"
    op.execute(f"ALTER POLICY tenant_rows ON tenants.sign_up_keys USING ({own}) WITH CHECK ({own})")
    run_script(op.get_bind(), _DUE)
