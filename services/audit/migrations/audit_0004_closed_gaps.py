"""Let operators say of missing numbers that they will not come."""

from alembic import op

from common.db.migrate import run_script

revision = "audit_0004"
down_revision = "audit_0003"
branch_labels = None
depends_on = None

_GAPS = """
-- Closed: an operator knows that what is missing will not come. It is not noted anew, and filled if it does.
ALTER TABLE audit.gaps ADD COLUMN closed_at timestamptz, ADD COLUMN closed_because text;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _GAPS)
