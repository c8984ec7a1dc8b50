"""What operators work with: events behind dead letters, stopped consumers, which tenants there are."""

from alembic import context, op

from common.db.migrate import run_script

revision = "kernel_0002"
down_revision = "kernel_0001"
branch_labels = None
depends_on = None

_SQL = """
-- `holds`: later events of the aggregate wait; `waiting`: one of those, applied in the order of `place`.
ALTER TABLE tenancy.dead_letters
    ADD COLUMN place bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN holds boolean NOT NULL DEFAULT false,
    ADD COLUMN waiting boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT dead_letters_waiting_check CHECK (holds OR NOT waiting);
CREATE INDEX dead_letters_holding ON tenancy.dead_letters (tenant_id, consumer, subject, place) WHERE holds;

-- Operators list dead letters of all tenants by what stands on the envelope; what an event says, and every
-- change, takes the tenant's own context.
CREATE POLICY operator_reads ON tenancy.dead_letters FOR SELECT TO {service}_relay USING (true);
GRANT SELECT (tenant_id, consumer, event_id, topic, type, subject, reason, attempts, died_at, place, holds,
              waiting) ON tenancy.dead_letters TO {service}_relay;

-- Snapshots go from tenant to tenant: ids only.
CREATE POLICY operator_lists ON tenancy.tenants FOR SELECT TO {service}_relay USING (true);
CREATE POLICY operator_lists ON tenancy.inbox FOR SELECT TO {service}_relay USING (true);
GRANT SELECT (tenant_id) ON tenancy.tenants, tenancy.inbox TO {service}_relay;

CREATE TABLE tenancy.stopped_consumers (
    consumer text PRIMARY KEY,
    dead_letters integer NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, DELETE ON tenancy.stopped_consumers TO {service}_relay;
GRANT SELECT ON tenancy.stopped_consumers TO {service}_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SQL.replace("{service}", context.config.attributes["service"]))
