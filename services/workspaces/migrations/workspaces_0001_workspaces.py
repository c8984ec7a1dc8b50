"""Workspaces and their members."""

from alembic import op

from common.db.base import protect

revision = "workspaces_0001"
down_revision = None
branch_labels = ("workspaces",)
depends_on = ("kernel_0001",)

_TABLES = """
CREATE TABLE workspaces.workspaces (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    description text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, workspace_id),
    CONSTRAINT workspaces_slug_key UNIQUE (tenant_id, slug)
);
CREATE TABLE workspaces.members (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text CHECK (role IN ('admin', 'member', 'viewer')),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, workspace_id, user_id),
    FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspaces.workspaces ON DELETE CASCADE
);
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA workspaces")
    op.execute("GRANT USAGE ON SCHEMA workspaces TO workspaces_app")
    for statement in _TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    for table in ("workspaces.workspaces", "workspaces.members"):
        for statement in protect("workspaces", table):
            op.execute(statement)
