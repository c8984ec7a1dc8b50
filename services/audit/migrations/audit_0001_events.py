"""The audit log: events, what is known of them later, who owns which resource, holes in the stream."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "audit_0001"
down_revision = None
branch_labels = ("audit",)
depends_on = ("kernel_0001",)

_SCRIPT = """
CREATE SCHEMA audit;
GRANT USAGE ON SCHEMA audit TO audit_app, audit_ingest;

-- The log. Partitions are days of occurred_at, so a redelivered event meets its own row, and a page
-- read newest first stops in the newest day. There is no default partition: it would break that order.
CREATE TABLE audit.events (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    action text NOT NULL,
    actor_type text NOT NULL
        CHECK (actor_type IN ('user', 'api_key', 'operator', 'system', 'anonymous', 'external')),
    actor_id text,
    email text,
    ip text,
    user_agent text,
    target_type text,
    target_id text,
    outcome text NOT NULL CHECK (outcome IN ('success', 'denied', 'error')),
    severity text NOT NULL CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    method text,
    route text,
    request_id text,
    status integer,
    trace_id text,
    source text NOT NULL,
    changes jsonb,
    PRIMARY KEY (tenant_id, event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX events_newest ON audit.events (tenant_id, occurred_at, event_id);
CREATE INDEX events_by_action ON audit.events (tenant_id, action, occurred_at, event_id);
CREATE INDEX events_by_actor ON audit.events (tenant_id, actor_id, occurred_at, event_id)
    WHERE actor_id IS NOT NULL;
CREATE INDEX events_by_target ON audit.events (tenant_id, target_id, occurred_at, event_id)
    WHERE target_id IS NOT NULL;
CREATE INDEX events_by_failure ON audit.events (tenant_id, outcome, occurred_at, event_id)
    WHERE outcome <> 'success';

-- The HTTP request behind a domain event; joined to it on read.
CREATE TABLE audit.action_contexts (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    email text,
    ip text NOT NULL,
    user_agent text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    request_id text NOT NULL,
    PRIMARY KEY (tenant_id, event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

-- How grave an event is (no row: 'info') and what is to be said of it: revision 1 at once, revision 2 when
-- its target's owner became known. The highest revision counts; flag 'none' takes an earlier one back.
CREATE TABLE audit.verdicts (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    revision smallint NOT NULL CHECK (revision IN (1, 2)),
    flag text NOT NULL CHECK (flag IN ('none', 'not_found', 'cross_tenant_attempt', 'isolation_breach')),
    severity text NOT NULL CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, event_id, occurred_at, revision)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX verdicts_by_flag ON audit.verdicts (tenant_id, flag, occurred_at, event_id);
CREATE INDEX verdicts_by_severity ON audit.verdicts (tenant_id, severity, occurred_at, event_id);

-- Accesses whose target nobody was known to own; judged again when a birth turns up.
CREATE TABLE audit.open_accesses (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    resource text NOT NULL,
    occurred_at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('explicit', 'denied', 'missed', 'succeeded')),
    writes boolean NOT NULL,
    actor jsonb NOT NULL,
    request_id text,
    traceparent text,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, event_id, resource)
);
CREATE INDEX open_accesses_by_resource ON audit.open_accesses (resource);
CREATE INDEX open_accesses_by_age ON audit.open_accesses (noted_at);

-- Records that could not become events, kept raw; admitted once a newer version of us can read them.
CREATE TABLE audit.quarantine (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    reason text NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    admitted_at timestamptz,
    PRIMARY KEY (tenant_id, digest)
);
CREATE INDEX quarantine_waiting ON audit.quarantine (tenant_id, reason) WHERE admitted_at IS NULL;

-- Which tenant a resource belongs to, from when to when. born_at NULL: first heard of by its death.
CREATE TABLE audit.ownership (
    resource text PRIMARY KEY,
    tenant_id uuid NOT NULL,
    born_at timestamptz,
    died_at timestamptz
);

-- Sequence numbers that arrived, by producer, and the holes that were noticed among them.
CREATE TABLE audit.producers (
    source text PRIMARY KEY,
    seen int8multirange NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE audit.gaps (
    gap_id uuid PRIMARY KEY DEFAULT uuidv7(),
    source text NOT NULL,
    missing int8multirange NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    filled_at timestamptz
);
CREATE INDEX gaps_open ON audit.gaps (source) WHERE filled_at IS NULL;

-- Days are made when first needed. Built aside and attached, so that readers are not kept waiting.
CREATE FUNCTION audit.ensure_days(days date[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day date;
    parent text;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(x'61756469'::int);
    FOREACH day IN ARRAY days LOOP
        IF day > today + 3 OR day < today - 3660 THEN
            RAISE EXCEPTION 'day out of range' USING ERRCODE = '22023';
        END IF;
        FOREACH parent IN ARRAY ARRAY['events', 'action_contexts', 'verdicts'] LOOP
            name := parent || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass('audit.' || name) IS NOT NULL;
            EXECUTE format('CREATE TABLE audit.%I (LIKE audit.%I INCLUDING ALL)', name, parent);
            EXECUTE format('ALTER TABLE audit.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            PERFORM tenancy.hide_values(('audit.' || name)::regclass);
            EXECUTE format('ALTER TABLE audit.%I ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, name, day::timestamp AT TIME ZONE 'UTC',
                           (day + 1)::timestamp AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION audit.ensure_days(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.ensure_days(date[]) TO audit_ingest;
SELECT audit.ensure_days(ARRAY(
    SELECT (now() AT TIME ZONE 'UTC')::date + i FROM generate_series(-1, 2) AS i));

-- Ingestion: rows of all tenants, written once, never changed.
GRANT SELECT, INSERT ON audit.events, audit.action_contexts, audit.verdicts, audit.quarantine TO audit_ingest;
GRANT UPDATE (admitted_at) ON audit.quarantine TO audit_ingest;
GRANT SELECT, INSERT, DELETE ON audit.open_accesses TO audit_ingest;
GRANT SELECT, INSERT, UPDATE ON audit.ownership, audit.producers, audit.gaps TO audit_ingest;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['open_accesses', 'quarantine'] LOOP
        EXECUTE format('ALTER TABLE audit.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['events', 'action_contexts', 'verdicts', 'open_accesses', 'quarantine'] LOOP
        EXECUTE format('CREATE POLICY ingest_rows ON audit.%I TO audit_ingest
                        USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;

-- What the consumer needs of the kernel: its positions, and the outbox for what it decides.
GRANT USAGE ON SCHEMA tenancy TO audit_ingest;
GRANT SELECT, INSERT, UPDATE ON tenancy.consumer_offsets TO audit_ingest;
GRANT INSERT ON tenancy.outbox TO audit_ingest;
CREATE POLICY ingest_rows ON tenancy.outbox FOR INSERT TO audit_ingest
    WITH CHECK (topic = 'penguinmails.security');
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SCRIPT)
    for table in ("audit.events", "audit.action_contexts", "audit.verdicts"):
        for statement in protect("audit", table, grants="SELECT"):
            op.execute(statement)
