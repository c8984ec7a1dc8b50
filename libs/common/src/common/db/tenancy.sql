-- The tenancy kernel of one service's database. Run by <service>_owner through the kernel migration.
-- {service} is replaced by the service's name. Roles are made beforehand by provision.py.

CREATE SCHEMA tenancy;
REVOKE ALL ON SCHEMA tenancy FROM PUBLIC;
GRANT USAGE ON SCHEMA tenancy TO {service}_app, {service}_relay;

-- Secret ----------------------------------------------------------------------------------------------
-- HMAC-SHA256 key as its two prepared pads. No role but the owner can read it; definer functions do.
CREATE TABLE tenancy.keys (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    inner_pad bytea NOT NULL CHECK (length(inner_pad) = 64),
    outer_pad bytea NOT NULL CHECK (length(outer_pad) = 64)
);

-- What follows is in the path of every transaction. Each name resolved, plan run and function entered costs
-- there, so the planner writes mac() and seal() into their callers (an expression, no SET, no SECURITY
-- DEFINER), and entry and check are one query each.
CREATE FUNCTION tenancy.mac(key tenancy.keys, message bytea) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    RETURN sha256(key.outer_pad || sha256(key.inner_pad || message));

-- A seal is worth something to this backend, in this transaction, for this context only. What has a fixed
-- length comes first in every message, so no two messages of different meaning are the same bytes.
CREATE FUNCTION tenancy.seal(key tenancy.keys, context text) RETURNS text
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    RETURN encode(tenancy.mac(key, 'seal'::bytea || int4send(pg_backend_pid())
                                   || timestamptz_send(transaction_timestamp())
                                   || convert_to(context, 'UTF8')), 'hex');

-- Settings are asked for in the query itself: a variable would be folded into its plan, and the plan lost.
CREATE FUNCTION tenancy.current_tenant() RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT split_part(current_setting('tenancy.context', true), '|', 2)::uuid FROM tenancy.keys AS key
            WHERE current_setting('tenancy.seal', true)
                  = tenancy.seal(key, current_setting('tenancy.context', true)));
END $$;

-- Like current_tenant(), but only for contexts entered by the platform itself (events, jobs, sign-up).
CREATE FUNCTION tenancy.system_tenant() RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(current_setting('tenancy.context', true), '') NOT LIKE 'system:%' THEN
        RETURN NULL;
    END IF;
    RETURN tenancy.current_tenant();
END $$;

-- The next two are for the entries only, and written into them, too.
CREATE FUNCTION tenancy.is_elsewhere(context text) RETURNS boolean LANGUAGE sql STABLE
    RETURN current_setting('tenancy.context', true) NOT IN ('', context) AND tenancy.current_tenant() IS NOT NULL;

CREATE FUNCTION tenancy.put_context(context text, seal text) RETURNS text LANGUAGE sql VOLATILE
    RETURN set_config('tenancy.context', context, true) || set_config('tenancy.seal', seal, true);

-- Projections -----------------------------------------------------------------------------------------
CREATE TABLE tenancy.tenants (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant() PRIMARY KEY,
    name text NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'suspended', 'deleting', 'deleted')),
    plan text NOT NULL,
    limits jsonb NOT NULL,
    features jsonb NOT NULL,
    version bigint NOT NULL
);

CREATE TABLE tenancy.members (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    member_id uuid NOT NULL,
    kind text NOT NULL DEFAULT 'user' CHECK (kind IN ('user', 'api_key')),
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'deactivated')),
    tokens_valid_from timestamptz NOT NULL DEFAULT '-infinity',
    version bigint NOT NULL,
    PRIMARY KEY (tenant_id, member_id)
);

CREATE TABLE tenancy.revocations (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    session_id uuid NOT NULL,
    revoked_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, session_id)
);

CREATE TABLE tenancy.workspaces (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    workspace_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    version bigint NOT NULL,
    PRIMARY KEY (tenant_id, workspace_id)
);

-- role NULL: the membership ended; the row stays so that an older event cannot bring it back.
CREATE TABLE tenancy.workspace_roles (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text CHECK (role IN ('admin', 'member', 'viewer')),
    version bigint NOT NULL,
    PRIMARY KEY (tenant_id, workspace_id, user_id)
);
CREATE INDEX workspace_roles_by_user ON tenancy.workspace_roles (tenant_id, user_id);

-- The planner's estimates come from samples of all tenants' values, and EXPLAIN shows estimates. Columns
-- that hold people's words and addresses therefore have no samples. Kept: ids, times, numbers.
CREATE FUNCTION tenancy.hide_values(relation regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT attname FROM pg_attribute
        WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
          AND atttypid IN ('text'::regtype, 'jsonb'::regtype, 'bytea'::regtype, 'text[]'::regtype)
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', relation, name);
    END LOOP;
END $$;

-- Entry -----------------------------------------------------------------------------------------------
-- verdict: ok | unknown (the projection has not seen the tenant or member yet) | revoked.
-- Only `ok` leaves a context behind. A wrong proof is an error: it never happens to honest callers.
CREATE FUNCTION tenancy.enter(tenant uuid, member uuid, session uuid, issued_at timestamptz, proof bytea,
                              OUT verdict text, OUT role text, OUT tenant_status text, OUT features jsonb)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    context text := 'user|' || tenant;
    proven boolean;
    welcome boolean;
    seal text;
BEGIN
    SELECT proof = tenancy.mac(key, 'user'::bytea || uuid_send(tenant) || uuid_send(member)
                                    || uuid_send(session) || timestamptz_send(issued_at)
                                    || int4send(pg_backend_pid())),
           t.status, t.features, m.role, tenancy.seal(key, context),
           t.status <> 'deleted' AND m.status = 'active' AND issued_at >= m.tokens_valid_from
               AND r.session_id IS NULL
        INTO proven, tenant_status, enter.features, enter.role, seal, welcome
        FROM tenancy.keys AS key
        LEFT JOIN tenancy.tenants AS t ON t.tenant_id = tenant
        LEFT JOIN tenancy.members AS m ON m.tenant_id = tenant AND m.member_id = member
        LEFT JOIN tenancy.revocations AS r ON r.tenant_id = tenant AND r.session_id = session;
    IF proven IS NOT TRUE THEN
        RAISE EXCEPTION 'tenancy proof refused' USING ERRCODE = '42501';
    END IF;
    IF welcome THEN
        IF tenancy.is_elsewhere(context) THEN
            RAISE EXCEPTION 'another tenant was entered in this transaction' USING ERRCODE = '42501';
        END IF;
        verdict := 'ok';
        seal := tenancy.put_context(context, seal);
    ELSE
        verdict := CASE WHEN tenant_status IS NULL OR enter.role IS NULL THEN 'unknown' ELSE 'revoked' END;
        enter.role := NULL;
    END IF;
END $$;

CREATE FUNCTION tenancy.enter_system(tenant uuid, purpose text, proof bytea) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    context text := format('system:%s|%s', purpose, tenant);
    proven boolean;
    seal text;
BEGIN
    SELECT proof = tenancy.mac(key, 'system'::bytea || uuid_send(tenant) || int4send(pg_backend_pid())
                                    || convert_to(purpose, 'UTF8')),
           tenancy.seal(key, context)
        INTO proven, seal FROM tenancy.keys AS key;
    IF proven IS NOT TRUE THEN
        RAISE EXCEPTION 'tenancy proof refused' USING ERRCODE = '42501';
    END IF;
    IF purpose NOT IN ('event', 'job', 'provisioning', 'access', 'token', 'public', 'platform') THEN
        RAISE EXCEPTION 'unknown purpose' USING ERRCODE = '42501';
    END IF;
    IF tenancy.is_elsewhere(context) THEN
        RAISE EXCEPTION 'another tenant was entered in this transaction' USING ERRCODE = '42501';
    END IF;
    seal := tenancy.put_context(context, seal);
END $$;

-- Events ----------------------------------------------------------------------------------------------
CREATE TABLE tenancy.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    event_id uuid NOT NULL,
    topic text NOT NULL CHECK (topic ~ '^penguinmails\.(tenants|users|workspaces|campaigns|security|access)(\.dlq)?$'),
    type text NOT NULL,
    subject text NOT NULL,
    data text NOT NULL,
    traceparent text,
    tracestate text,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sequence bigint,
    parked_at timestamptz,
    error text,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX outbox_event ON tenancy.outbox (tenant_id, event_id);
CREATE INDEX outbox_order ON tenancy.outbox (id);
CREATE INDEX outbox_parked ON tenancy.outbox (tenant_id, subject) WHERE parked_at IS NOT NULL;

CREATE TABLE tenancy.outbox_history (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    data text NOT NULL,
    traceparent text,
    tracestate text,
    occurred_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, event_id, published_at)
) PARTITION BY RANGE (published_at);
CREATE INDEX outbox_history_order ON tenancy.outbox_history (sequence);

-- One row: the producer's position. `cluster_id`: the broker's log that the history was last sent to in
-- full; `replayed_to`: how far the present replay into a new log has come.
CREATE TABLE tenancy.relay_state (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    next_sequence bigint NOT NULL DEFAULT 1,
    cluster_id text,
    replayed_to bigint NOT NULL DEFAULT 0
);
INSERT INTO tenancy.relay_state DEFAULT VALUES;

CREATE TABLE tenancy.inbox (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, consumer, event_id)
);

CREATE TABLE tenancy.dead_letters (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    envelope jsonb NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL,
    died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, consumer, event_id)
);

CREATE TABLE tenancy.idempotency_keys (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    principal text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, principal, route, key)
);
CREATE INDEX idempotency_keys_by_age ON tenancy.idempotency_keys (tenant_id, created_at);

CREATE TABLE tenancy.consumer_offsets (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    cluster_id text NOT NULL,
    next_offset bigint NOT NULL,
    epoch bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, partition)
);

-- History partitions: one a day, made ahead, dropped whole past the retention.
CREATE FUNCTION tenancy.maintain_history(retention interval) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    day date;
    name text;
BEGIN
    FOR day IN SELECT generate_series(current_date - 1, current_date + 2, '1 day')::date LOOP
        name := 'outbox_history_' || to_char(day, 'YYYYMMDD');
        IF to_regclass('tenancy.' || name) IS NULL THEN
            EXECUTE format('CREATE TABLE tenancy.%I PARTITION OF tenancy.outbox_history
                            FOR VALUES FROM (%L) TO (%L)', name, day, day + 1);
            EXECUTE format('ALTER TABLE tenancy.%I ENABLE ROW LEVEL SECURITY,
                            FORCE ROW LEVEL SECURITY', name);
        END IF;
    END LOOP;
    FOR name IN
        SELECT c.relname FROM pg_class AS c JOIN pg_inherits AS i ON i.inhrelid = c.oid
        WHERE i.inhparent = 'tenancy.outbox_history'::regclass
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() - retention)::date
    LOOP
        EXECUTE format('DROP TABLE tenancy.%I', name);
    END LOOP;
END $$;
SELECT tenancy.maintain_history('7 days');

-- Protection ------------------------------------------------------------------------------------------
-- Projections, inbox and dead letters: read by the tenant, written by the platform only.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenants', 'members', 'revocations', 'workspaces', 'workspace_roles',
                                'inbox', 'dead_letters', 'outbox', 'idempotency_keys'] LOOP
        EXECUTE format('ALTER TABLE tenancy.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        PERFORM tenancy.hide_values(('tenancy.' || name)::regclass);
        EXECUTE format('CREATE POLICY tenant_wall ON tenancy.%I AS RESTRICTIVE TO {service}_app
                        USING (tenant_id = tenancy.current_tenant())
                        WITH CHECK (tenant_id = tenancy.current_tenant())', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tenants', 'members', 'revocations', 'workspaces', 'workspace_roles',
                                'inbox', 'dead_letters'] LOOP
        EXECUTE format('CREATE POLICY tenant_reads ON tenancy.%I FOR SELECT TO {service}_app
                        USING (tenant_id = tenancy.current_tenant())', name);
        EXECUTE format('CREATE POLICY platform_writes ON tenancy.%I TO {service}_app
                        USING (tenant_id = tenancy.system_tenant())
                        WITH CHECK (tenant_id = tenancy.system_tenant())', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tenancy.%I TO {service}_app', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tenants', 'members', 'revocations'] LOOP
        EXECUTE format('CREATE POLICY entry_reads ON tenancy.%I FOR SELECT TO {service}_owner USING (true)',
                       name);
    END LOOP;
END $$;

CREATE POLICY tenant_rows ON tenancy.outbox FOR INSERT TO {service}_app
    WITH CHECK (tenant_id = tenancy.current_tenant());
-- Only what an event says: its place, time and number are not the writer's to choose.
GRANT INSERT (event_id, topic, type, subject, data, traceparent, tracestate) ON tenancy.outbox
    TO {service}_app;
CREATE POLICY relay_rows ON tenancy.outbox TO {service}_relay USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE, DELETE ON tenancy.outbox TO {service}_relay;

CREATE POLICY tenant_rows ON tenancy.idempotency_keys TO {service}_app
    USING (tenant_id = tenancy.current_tenant()) WITH CHECK (tenant_id = tenancy.current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenancy.idempotency_keys TO {service}_app;

ALTER TABLE tenancy.outbox_history ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY relay_rows ON tenancy.outbox_history TO {service}_relay USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON tenancy.outbox_history TO {service}_relay;
GRANT SELECT, UPDATE ON tenancy.relay_state TO {service}_relay;
-- Positions belong to the role that no request works as.
GRANT SELECT, INSERT, UPDATE ON tenancy.consumer_offsets TO {service}_relay;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tenancy FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.current_tenant(), tenancy.system_tenant(),
    tenancy.enter(uuid, uuid, uuid, timestamptz, bytea), tenancy.enter_system(uuid, text, bytea)
    TO {service}_app;
GRANT EXECUTE ON FUNCTION tenancy.maintain_history(interval) TO {service}_relay;
