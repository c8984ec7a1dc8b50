"""Lists of contacts."""

from alembic import op

from common.db.base import protect

revision = "campaigns_0002"
down_revision = "campaigns_0001"
branch_labels = None
depends_on = None

# References carry the workspace too: the database itself keeps a list and its contacts in one.
CONTRACTS = {
    "constraint campaigns.contacts.contacts_workspace_key: new": "contact_id alone is unique already"
}

_TABLES = """
ALTER TABLE campaigns.contacts
    ADD CONSTRAINT contacts_workspace_key UNIQUE (tenant_id, workspace_id, contact_id);
CREATE TABLE campaigns.lists (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    list_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, list_id),
    CONSTRAINT lists_workspace_key UNIQUE (tenant_id, workspace_id, list_id),
    CONSTRAINT lists_name_key UNIQUE (tenant_id, workspace_id, name)
);
CREATE TABLE campaigns.list_contacts (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    list_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, list_id, contact_id),
    CONSTRAINT list_contacts_list_fkey FOREIGN KEY (tenant_id, workspace_id, list_id)
        REFERENCES campaigns.lists (tenant_id, workspace_id, list_id) ON DELETE CASCADE,
    CONSTRAINT list_contacts_contact_fkey FOREIGN KEY (tenant_id, workspace_id, contact_id)
        REFERENCES campaigns.contacts (tenant_id, workspace_id, contact_id) ON DELETE CASCADE
);
CREATE INDEX list_contacts_by_contact ON campaigns.list_contacts (tenant_id, contact_id);
"""


def upgrade() -> None:
    for statement in _TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    for table in ("campaigns.lists", "campaigns.list_contacts"):
        for statement in protect("campaigns", table):
            op.execute(statement)
