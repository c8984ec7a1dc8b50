"""How many e-mails a tenant has reserved of each month's limit."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "campaigns_0006"
down_revision = "campaigns_0005"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE campaigns.monthly_sends (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    reserved bigint NOT NULL CHECK (reserved > 0),
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, month)
);
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLE)
    for statement in protect("campaigns", "campaigns.monthly_sends"):
        op.execute(statement)
