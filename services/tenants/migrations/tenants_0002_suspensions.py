"""Remember why a tenant is suspended, so that lifting one cause leaves another in force."""

from alembic import op

from common.db.migrate import run_script

revision = "tenants_0002"
down_revision = "tenants_0001"
branch_labels = None
depends_on = None

_SUSPENSIONS = """
ALTER TABLE tenants.tenants ADD COLUMN suspensions text[] NOT NULL DEFAULT '{}'
    CHECK (suspensions <@ ARRAY['operator', 'unpaid']);
SELECT tenancy.hide_values('tenants.tenants');
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SUSPENSIONS)
