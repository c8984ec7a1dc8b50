"""A stored answer is for who may still ask."""

from alembic import op

from common.db.migrate import run_script

revision = "kernel_0007"
down_revision = "kernel_0006"
branch_labels = None
depends_on = None

_SQL = """
-- By workspace, which of its roles let the request pass (none named: any).
ALTER TABLE tenancy.idempotency_keys ADD COLUMN roles jsonb NOT NULL DEFAULT '{}';
SELECT tenancy.hide_values('tenancy.idempotency_keys');
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SQL)
