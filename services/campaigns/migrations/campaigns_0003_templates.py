"""Templates."""

from alembic import op

from common.db.base import protect

revision = "campaigns_0003"
down_revision = "campaigns_0002"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE campaigns.templates (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    template_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    subject text NOT NULL,
    html text NOT NULL,
    text text,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, template_id),
    CONSTRAINT templates_workspace_key UNIQUE (tenant_id, workspace_id, template_id),
    CONSTRAINT templates_name_key UNIQUE (tenant_id, workspace_id, name)
)
"""


def upgrade() -> None:
    op.execute(_TABLE)
    for statement in protect("campaigns", "campaigns.templates"):
        op.execute(statement)
