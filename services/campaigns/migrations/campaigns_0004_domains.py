"""Sending domains and their DKIM keys."""

from alembic import op

from common.db.base import protect

revision = "campaigns_0004"
down_revision = "campaigns_0003"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE campaigns.domains (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    domain_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    domain text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending')),
    ownership_token text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, domain_id),
    CONSTRAINT domains_domain_key UNIQUE (tenant_id, domain)
);
CREATE INDEX domains_by_workspace ON campaigns.domains (tenant_id, workspace_id, domain_id);
CREATE TABLE campaigns.dkim_keys (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    domain_id uuid NOT NULL,
    selector text NOT NULL,
    public_key text NOT NULL,
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, domain_id),
    CONSTRAINT dkim_keys_domain_fkey FOREIGN KEY (tenant_id, domain_id)
        REFERENCES campaigns.domains (tenant_id, domain_id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    for statement in _TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    for statement in protect("campaigns", "campaigns.domains"):
        op.execute(statement)
    for statement in protect("campaigns", "campaigns.dkim_keys"):
        op.execute(statement)
