"""Campaigns and contacts."""

from alembic import op

from common.db.base import protect

revision = "campaigns_0001"
down_revision = None
branch_labels = ("campaigns",)
depends_on = ("kernel_0001",)

_TABLES = """
CREATE TABLE campaigns.campaigns (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    campaign_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    subject text,
    from_name text,
    from_email text,
    reply_to text,
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft')),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, campaign_id)
);
CREATE INDEX campaigns_by_workspace ON campaigns.campaigns (tenant_id, workspace_id, campaign_id);
CREATE TABLE campaigns.contacts (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    contact_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    email text NOT NULL,
    name text,
    attributes jsonb NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'subscribed'
        CHECK (status IN ('subscribed', 'unsubscribed', 'bounced', 'complained')),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, contact_id),
    CONSTRAINT contacts_email_key UNIQUE (tenant_id, workspace_id, email)
);
CREATE INDEX contacts_by_workspace ON campaigns.contacts (tenant_id, workspace_id, contact_id);
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA campaigns")
    op.execute("GRANT USAGE ON SCHEMA campaigns TO campaigns_app")
    for statement in _TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    for table in ("campaigns.campaigns", "campaigns.contacts"):
        for statement in protect("campaigns", table):
            op.execute(statement)
