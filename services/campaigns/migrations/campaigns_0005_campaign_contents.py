"""What a campaign sends and to whom; all states that a campaign can be in."""

from alembic import op

revision = "campaigns_0005"
down_revision = "campaigns_0004"
branch_labels = None
depends_on = None

CONTRACTS = {"constraint campaigns.campaigns.campaigns_status_check: new": "it allows more than before"}

# References carry the workspace too: the database itself keeps a campaign and what it uses in one.
_CHANGES = """
ALTER TABLE campaigns.campaigns
    ADD COLUMN template_id uuid,
    ADD COLUMN list_id uuid,
    ADD CONSTRAINT campaigns_template_fkey FOREIGN KEY (tenant_id, workspace_id, template_id)
        REFERENCES campaigns.templates (tenant_id, workspace_id, template_id),
    ADD CONSTRAINT campaigns_list_fkey FOREIGN KEY (tenant_id, workspace_id, list_id)
        REFERENCES campaigns.lists (tenant_id, workspace_id, list_id),
    DROP CONSTRAINT campaigns_status_check,
    ADD CONSTRAINT campaigns_status_check CHECK (status IN
        ('draft', 'scheduled', 'sending', 'sent', 'paused', 'cancelled', 'failed'));
CREATE INDEX campaigns_by_template ON campaigns.campaigns (tenant_id, template_id)
    WHERE template_id IS NOT NULL;
CREATE INDEX campaigns_by_list ON campaigns.campaigns (tenant_id, list_id) WHERE list_id IS NOT NULL;
"""


def upgrade() -> None:
    for statement in _CHANGES.split(";"):
        if statement.strip():
            op.execute(statement)
