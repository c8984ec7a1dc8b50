"""Only what is done with operators sees and changes them, and nothing changes who one is."""

from alembic import op

revision = "auth_0008"
down_revision = "auth_0007"
branch_labels = None
depends_on = None

_COMMANDS = {
    "SELECT": ("job", "platform", "token"),
    "INSERT": ("platform",),
    "UPDATE": ("platform", "token"),
    "DELETE": ("job", "platform"),
}
"""In which contexts: `token` is a log-in, `platform` acts on an operator's word, a `job` erases."""

CONTRACTS = {
    "policy auth.operators: tenant_rows: gone": "one for each command is in its place",
    "grant UPDATE of auth.operators to auth_app: gone": "no release changes other columns",
}


def upgrade() -> None:
    op.execute("DROP POLICY tenant_rows ON auth.operators")
    for command, purposes in _COMMANDS.items():
        allowed = ", ".join(f"'system:{purpose}'" for purpose in purposes)
        own = (
            "tenant_id = tenancy.system_tenant() "
            f"AND split_part(current_setting('tenancy.context', true), '|', 1) IN ({allowed})"
        )
        using = "" if command == "INSERT" else f"USING ({own})"
        check = f"WITH CHECK ({own})" if command in ("INSERT", "UPDATE") else ""
        policy = f"tenant_{command.lower()} ON auth.operators FOR {command} TO auth_app"
        op.execute(f"CREATE POLICY {policy} {using} {check}")
    op.execute("REVOKE UPDATE ON auth.operators FROM auth_app")
    changing = "password_hash, totp_secret, totp_step, status, version, updated_at"
    op.execute(f"GRANT UPDATE ({changing}) ON auth.operators TO auth_app")
