"""Operators of the platform."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "auth_0006"
down_revision = "auth_0005"
branch_labels = None
depends_on = None

_OPERATORS = """
-- Of the platform's tenant, written and read in its own contexts only.
CREATE TABLE auth.operators (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    operator_id uuid NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    totp_secret bytea,
    totp_step bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'closed')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, operator_id),
    CONSTRAINT operators_email_key UNIQUE (tenant_id, email)
);
"""


def upgrade() -> None:
    run_script(op.get_bind(), _OPERATORS)
    for statement in protect("auth", "auth.operators"):
        op.execute(statement)
    own = "tenant_id = tenancy.system_tenant()"
    op.execute(f"ALTER POLICY tenant_rows ON auth.operators USING ({own}) WITH CHECK ({own})")
