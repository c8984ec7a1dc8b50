"""What tenants have sent each month, as the campaigns service tells it."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "tenants_0004"
down_revision = "tenants_0003"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE tenants.monthly_sends (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    month date NOT NULL,
    reserved bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant_id, month)
);
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLE)
    for statement in protect("tenants", "tenants.monthly_sends"):
        op.execute(statement)
