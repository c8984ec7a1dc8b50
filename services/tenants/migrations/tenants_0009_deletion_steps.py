"""Give each deletion a next step of its own, so that one that fails keeps no other waiting."""

from alembic import op

from common.db.migrate import run_script

revision = "tenants_0009"
down_revision = "tenants_0008"
branch_labels = None
depends_on = None

_UNRELEASED = "made by tenants_0007, which no release has had"
CONTRACTS = {
    "function tenants.due_deletions(integer,interval): gone": _UNRELEASED,
    "grant EXECUTE of tenants.due_deletions(integer,interval) to tenants_app: gone": _UNRELEASED,
    "grant EXECUTE of tenants.due_deletions(integer,interval) to tenants_owner: gone": _UNRELEASED,
}

_COLUMNS = """
ALTER TABLE tenants.deletions
    ADD COLUMN begun_at timestamptz,
    ADD COLUMN next_step_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN problem text;
DROP INDEX tenants.deletions_open;
CREATE INDEX deletions_open ON tenants.deletions (next_step_at) WHERE certified_at IS NULL;
"""
# What waits for others (their reports, the retention of events) stands back by its next step.
_DUE = """
DROP FUNCTION tenants.due_deletions(integer, interval);
CREATE FUNCTION tenants.due_deletions(batch integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.tenant_id FROM tenants.deletions AS d
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND d.certified_at IS NULL AND d.next_step_at <= clock_timestamp()
      AND (d.deleted_at IS NOT NULL OR d.erase_at <= clock_timestamp())
    ORDER BY d.next_step_at LIMIT batch;
END;
REVOKE ALL ON FUNCTION tenants.due_deletions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.due_deletions(integer) TO tenants_app;
"""
# For operators: every deletion that is not certified, the longest under way first.
_LIST = """
CREATE FUNCTION tenants.open_deletions() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.tenant_id FROM tenants.deletions AS d
    WHERE tenancy.is_platform() AND d.certified_at IS NULL
    ORDER BY d.scheduled_at;
END;
REVOKE ALL ON FUNCTION tenants.open_deletions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.open_deletions() TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _COLUMNS)
    run_script(op.get_bind(), _DUE)
    run_script(op.get_bind(), _LIST)
