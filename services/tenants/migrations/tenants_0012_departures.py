"""Let the platform measure for how long deletions and exports have been unfinished."""

from alembic import op

from common.db.migrate import run_script

revision = "tenants_0012"
down_revision = "tenants_0011"
branch_labels = None
depends_on = None

# Seconds since the oldest could have ended: a deletion's grace, and the time that its events last, are none.
_AGES = """
CREATE FUNCTION tenants.departure_ages(
    events_last interval, OUT deletion double precision, OUT export double precision)
    RETURNS record LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT extract(epoch FROM clock_timestamp() - (
               SELECT min(CASE WHEN d.erased_at IS NULL THEN d.erase_at ELSE d.erased_at + events_last END)
               FROM tenants.deletions AS d WHERE d.certified_at IS NULL)),
           extract(epoch FROM clock_timestamp() - (
               SELECT min(e.requested_at) FROM tenants.exports AS e
               WHERE e.next_step_at < 'infinity' AND e.status IN ('queued', 'running')))
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid;
END;
REVOKE ALL ON FUNCTION tenants.departure_ages(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants.departure_ages(interval) TO tenants_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _AGES)
