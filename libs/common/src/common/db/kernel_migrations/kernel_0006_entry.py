"""Enter a tenant, and check the seal, in one query each: see docs/adr/0002 and 0037."""

from alembic import context, op

from common.db.migrate import run_script

revision = "kernel_0006"
down_revision = "kernel_0005"
branch_labels = None
depends_on = None

CONTRACTS = {
    "function tenancy.enter(uuid,uuid,uuid,timestamp with time zone,bytea): false record became false text": (
        "no release was made with the record"
    )
}

_SQL = """
-- What seals are made with; HMAC of the key, so that no seal says anything about a proof.
ALTER TABLE tenancy.keys ADD COLUMN seal_key bytea NOT NULL
    GENERATED ALWAYS AS (sha256(outer_pad || sha256(inner_pad || 'seal'::bytea))) STORED;

-- One hash and not HMAC's two. What makes a plain hash with a key unsafe is that it can be continued: by
-- bytes of its padding first, and these include zeros, which no text has.
CREATE OR REPLACE FUNCTION tenancy.seal(key tenancy.keys, context text) RETURNS text
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    RETURN encode(sha256(key.seal_key || int4send(pg_backend_pid()) || timestamptz_send(CURRENT_TIMESTAMP)
                         || convert_to(context, 'UTF8')), 'hex');

CREATE OR REPLACE FUNCTION tenancy.current_tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT split_part(current_setting('tenancy.context', true), '|', 2)::uuid FROM tenancy.keys AS key
    WHERE current_setting('tenancy.seal', true) = tenancy.seal(key, current_setting('tenancy.context', true));
END;

CREATE FUNCTION tenancy.refuse(reason text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION '%', reason USING ERRCODE = '42501';
END $$;

-- In place of put_context(text, text), which a later release drops.
CREATE FUNCTION tenancy.seal_context(key tenancy.keys, context text) RETURNS boolean LANGUAGE sql VOLATILE
    RETURN set_config('tenancy.seal', tenancy.seal(key, set_config('tenancy.context', context, true)), true)
           IS NOT NULL;

-- `ok|<role>|<tenant's status>|<features>`, or why nobody was let in: `unknown` (the projection has not seen
-- the tenant or member yet), `revoked`. Only `ok` leaves a context behind. A wrong proof is an error: it
-- never happens to honest callers. The cases are tried in the order in which they stand.
DROP FUNCTION tenancy.enter(uuid, uuid, uuid, timestamptz, bytea);
CREATE FUNCTION tenancy.enter(tenant uuid, member uuid, session uuid, issued_at timestamptz, proof bytea)
    RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE
        WHEN (proof = tenancy.mac(key, 'user'::bytea || uuid_send(tenant) || uuid_send(member)
                                       || uuid_send(session) || timestamptz_send(issued_at)
                                       || int4send(pg_backend_pid()))) IS NOT TRUE
            THEN tenancy.refuse('tenancy proof refused')
        WHEN t.status = 'deleted' THEN 'revoked'
        WHEN t.status IS NULL OR m.status IS NULL THEN 'unknown'
        WHEN m.status <> 'active' OR issued_at < m.tokens_valid_from OR r.session_id IS NOT NULL
            THEN 'revoked'
        WHEN tenancy.is_elsewhere('user|' || tenant)
            THEN tenancy.refuse('another tenant was entered in this transaction')
        WHEN tenancy.seal_context(key, 'user|' || tenant)
            THEN concat_ws('|', 'ok', m.role, t.status, t.features)
    END
    FROM tenancy.keys AS key
    LEFT JOIN tenancy.tenants AS t ON t.tenant_id = tenant
    LEFT JOIN tenancy.members AS m ON m.tenant_id = tenant AND m.member_id = member
    LEFT JOIN tenancy.revocations AS r ON r.tenant_id = tenant AND r.session_id = session;
END;

CREATE OR REPLACE FUNCTION tenancy.enter_system(tenant uuid, purpose text, proof bytea) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE
        WHEN (proof = tenancy.mac(key, 'system'::bytea || uuid_send(tenant) || int4send(pg_backend_pid())
                                       || convert_to(purpose, 'UTF8'))) IS NOT TRUE
            THEN tenancy.refuse('tenancy proof refused')
        WHEN purpose NOT IN ('event', 'job', 'provisioning', 'access', 'token', 'public', 'platform')
            THEN tenancy.refuse('unknown purpose')
        WHEN tenancy.is_elsewhere('system:' || purpose || '|' || tenant)
            THEN tenancy.refuse('another tenant was entered in this transaction')
        WHEN tenancy.seal_context(key, 'system:' || purpose || '|' || tenant) THEN ''
    END
    FROM tenancy.keys AS key;
END;

REVOKE ALL ON FUNCTION tenancy.refuse(text), tenancy.seal_context(tenancy.keys, text),
    tenancy.enter(uuid, uuid, uuid, timestamptz, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.enter(uuid, uuid, uuid, timestamptz, bytea) TO {service}_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SQL.replace("{service}", context.config.attributes["service"]))
