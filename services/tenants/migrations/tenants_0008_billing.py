"""Plan changes, webhooks, grace periods and reconciliation of billing."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "tenants_0008"
down_revision = "tenants_0007"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE tenants.subscriptions
    ADD COLUMN wanted_plan text CHECK (wanted_plan IN ('starter', 'professional', 'enterprise')),
    ADD COLUMN wanted_by uuid,
    ADD COLUMN plan_key text,
    ADD COLUMN suspend_at timestamptz,
    ADD COLUMN look_again boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT subscriptions_wish_check
        CHECK ((wanted_plan IS NULL) = (plan_key IS NULL) AND (wanted_plan IS NULL) = (wanted_by IS NULL));
SELECT tenancy.hide_values('tenants.subscriptions');
CREATE INDEX subscriptions_customer ON tenants.subscriptions (customer_id) WHERE customer_id IS NOT NULL;

-- Both of the platform's tenant, written and read in its own contexts only.
CREATE TABLE tenants.stripe_events (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    event_id text NOT NULL,
    type text NOT NULL,
    customer_id text,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    handled_at timestamptz,
    outcome text CHECK (outcome IN ('looked', 'ignored', 'unknown_customer')),
    PRIMARY KEY (tenant_id, event_id),
    CHECK ((handled_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX stripe_events_open ON tenants.stripe_events (tenant_id, received_at) WHERE handled_at IS NULL;
CREATE INDEX stripe_events_by_age ON tenants.stripe_events (tenant_id, received_at);
CREATE TABLE tenants.reconciliations (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    day date NOT NULL,
    claim uuid,
    claimed_until timestamptz,
    finished_at timestamptz,
    report jsonb,
    PRIMARY KEY (tenant_id, day),
    CHECK ((finished_at IS NULL) = (report IS NULL))
);
"""

_LOOKUPS = """
CREATE FUNCTION tenants.tenants_of_customer(customer text) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.tenant_id FROM tenants.subscriptions AS s
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND s.customer_id = customer;
END;
CREATE FUNCTION tenants.billed_tenants(after uuid, batch integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.tenant_id FROM tenants.subscriptions AS s
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND s.tenant_id > after
    ORDER BY s.tenant_id LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.tenants_of_customer(text), tenants.billed_tenants(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.tenants_of_customer(text), tenants.billed_tenants(uuid, integer)
    TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLES)
    own = "tenant_id = tenancy.system_tenant()"
    for table in ("stripe_events", "reconciliations"):
        for statement in protect("tenants", f"tenants.{table}"):
            op.execute(statement)
        op.execute(f"ALTER POLICY tenant_rows ON tenants.{table} USING ({own}) WITH CHECK ({own})")
    run_script(op.get_bind(), _LOOKUPS)
