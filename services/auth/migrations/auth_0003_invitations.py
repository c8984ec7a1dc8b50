"""Invitations."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "auth_0003"
down_revision = "auth_0002"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE auth.invitations (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    invitation_id uuid NOT NULL,
    email text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    memberships jsonb NOT NULL DEFAULT '[]',
    invited_by uuid NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'revoked', 'expired')),
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, invitation_id)
);
CREATE UNIQUE INDEX invitations_pending ON auth.invitations (tenant_id, email) WHERE status = 'pending';
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLES)
    for statement in protect("auth", "auth.invitations"):
        op.execute(statement)
