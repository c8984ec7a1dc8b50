"""Count the changes of exports, as their events tell them."""

from alembic import op

revision = "tenants_0011"
down_revision = "tenants_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE tenants.exports ADD COLUMN version bigint NOT NULL DEFAULT 1")
