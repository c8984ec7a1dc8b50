"""The tenancy kernel: context, projections, outbox, inbox."""

from alembic import context, op

from common.db.migrate import kernel_sql, run_script

revision = "kernel_0001"
down_revision = None
branch_labels = ("kernel",)
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), kernel_sql(context.config.attributes["service"]))
