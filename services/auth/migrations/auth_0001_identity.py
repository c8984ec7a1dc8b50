"""Users, sessions, tokens, mails, signing keys."""

from alembic import op

from common.db.base import protect
from common.db.migrate import run_script

revision = "auth_0001"
down_revision = None
branch_labels = ("auth",)
depends_on = ("kernel_0001",)

_TABLES = """
CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO auth_app;

CREATE TABLE auth.users (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    user_id uuid NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'deactivated')),
    password_hash text,
    password_set_at timestamptz,
    email_verified_at timestamptz,
    mfa_enabled boolean NOT NULL DEFAULT false,
    tokens_valid_from timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT users_email_key UNIQUE (tenant_id, email)
);
CREATE TABLE auth.sessions (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    session_id uuid NOT NULL,
    user_id uuid NOT NULL,
    ip text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES auth.users ON DELETE CASCADE
);
CREATE INDEX sessions_by_user ON auth.sessions (tenant_id, user_id, session_id) WHERE ended_at IS NULL;
CREATE TABLE auth.refresh_tokens (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    token_id uuid NOT NULL,
    session_id uuid NOT NULL,
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    spent_at timestamptz,
    successor_id uuid,
    PRIMARY KEY (tenant_id, token_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES auth.sessions ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_by_session ON auth.refresh_tokens (tenant_id, session_id);
CREATE TABLE auth.password_tokens (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    token_id uuid NOT NULL,
    user_id uuid NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('welcome', 'reset')),
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, token_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES auth.users ON DELETE CASCADE
);
CREATE INDEX password_tokens_by_user ON auth.password_tokens (tenant_id, user_id) WHERE used_at IS NULL;
CREATE TABLE auth.mails (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    mail_id uuid NOT NULL,
    kind text NOT NULL,
    occasion text NOT NULL,
    user_id uuid,
    recipient text NOT NULL,
    recipient_name text NOT NULL DEFAULT '',
    facts jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'refused')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claim uuid,
    error text,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    PRIMARY KEY (tenant_id, mail_id),
    CONSTRAINT mails_occasion_key UNIQUE (tenant_id, occasion)
);
CREATE INDEX mails_due ON auth.mails (next_attempt_at) WHERE state = 'queued';

-- Of the platform's tenant, written and read in its own contexts only.
CREATE TABLE auth.signing_keys (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    kid text NOT NULL,
    status text NOT NULL CHECK (status IN ('published', 'active', 'retired')),
    public_jwk jsonb NOT NULL,
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at timestamptz,
    retired_at timestamptz,
    PRIMARY KEY (tenant_id, kid)
);
CREATE UNIQUE INDEX signing_keys_active ON auth.signing_keys (tenant_id) WHERE status = 'active';
CREATE TABLE auth.address_salts (
    tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
    address_key bytea NOT NULL CHECK (length(address_key) = 32),
    salt bytea NOT NULL CHECK (length(salt) >= 16),
    time_cost integer NOT NULL,
    memory_kib integer NOT NULL,
    parallelism integer NOT NULL,
    PRIMARY KEY (tenant_id, address_key)
);
"""

_TENANT_TABLES = ("users", "sessions", "refresh_tokens", "password_tokens", "mails")
_PLATFORM_TABLES = ("signing_keys", "address_salts")

# A claim whose owner may still be at work is not due. Claims are renewed while a mail is on its way, but
# not while the database is down: after its restart they get a whole lease again.
_DUE = """
CREATE POLICY due_mails ON auth.mails FOR SELECT TO auth_owner USING (true);
CREATE FUNCTION auth.due_mail_tenants(batch integer, lease interval) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT m.tenant_id FROM auth.mails AS m
    WHERE tenancy.system_tenant() = '00000000-0000-0000-0000-000000000000'::uuid
      AND m.state = 'queued' AND m.next_attempt_at <= clock_timestamp()
      AND (m.claim IS NULL OR pg_postmaster_start_time() < clock_timestamp() - lease)
    GROUP BY m.tenant_id ORDER BY min(m.next_attempt_at) LIMIT batch;
END;
REVOKE ALL ON FUNCTION auth.due_mail_tenants(integer, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.due_mail_tenants(integer, interval) TO auth_app;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _TABLES)
    for table in (*_TENANT_TABLES, *_PLATFORM_TABLES):
        for statement in protect("auth", f"auth.{table}"):
            op.execute(statement)
    for table in _PLATFORM_TABLES:
        own = "tenant_id = tenancy.system_tenant()"
        op.execute(f"ALTER POLICY tenant_rows ON auth.{table} USING ({own}) WITH CHECK ({own})")
    run_script(op.get_bind(), _DUE)
