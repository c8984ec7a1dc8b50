"""Counters, and the effects of the events that tell of their steps."""

from alembic import op

from common.db.base import protect

revision = "ledger_0001"
down_revision = None
branch_labels = ("ledger",)
depends_on = ("kernel_0001",)

# No constraint keeps an effect from standing there twice: that is what the tests look for.
_TABLES = """
CREATE TABLE ledger.counters (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    counter_id uuid NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant_id, counter_id)
);
CREATE TABLE ledger.effects (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    place bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    counter_id uuid NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant_id, place)
);
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA ledger")
    op.execute("GRANT USAGE ON SCHEMA ledger TO ledger_app")
    for statement in _TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    for table in ("ledger.counters", "ledger.effects"):
        for statement in protect("ledger", table):
            op.execute(statement)
