"""An address has one active account in a tenant; closed ones are no obstacle to another."""

from alembic import op

revision = "auth_0005"
down_revision = "auth_0004"
branch_labels = None
depends_on = None

CONTRACTS = {"unique index auth.users.users_email_key: new": "the constraint before it refused more"}


def upgrade() -> None:
    op.execute("ALTER TABLE auth.users DROP CONSTRAINT users_email_key")
    op.execute("CREATE UNIQUE INDEX users_email_key ON auth.users (tenant_id, email) WHERE status = 'active'")
