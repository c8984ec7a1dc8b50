"""Databases and roles of a service, made once by a superuser; everything in them is made by migrations."""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

import asyncpg

_LIMITS = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "search_path": "pg_catalog",
}


def role_names(service: str) -> tuple[str, ...]:
    """Roles of `service`: owner (migrations), app (what it runs as), relay (outbox only), extras."""
    extra = ("audit_ingest",) if service == "audit" else ()
    return (f"{service}_owner", f"{service}_app", f"{service}_relay", *extra)


def passwords_in(service: str, urls: Iterable[str]) -> dict[str, str]:
    """The passwords of the service's roles, from their connections' URLs.

    Raises:
        ValueError: a role is missing, is not the service's, or has no password.
    """
    parts = [urlsplit(url) for url in urls]
    passwords = {unquote(part.username or ""): unquote(part.password or "") for part in parts}
    if set(passwords) != set(role_names(service)) or not all(passwords.values()):
        raise ValueError(f"needed are URLs with passwords of {', '.join(role_names(service))}")
    return passwords


async def provision_database(
    superuser_dsn: str, service: str, passwords: Mapping[str, str], database: str | None = None
) -> None:
    """Create or repair the database of `service` (named like it, unless `database` says otherwise).

    Idempotent. `passwords` maps each name of `role_names(service)` to its password.
    """
    name = database or service
    connection = await asyncpg.connect(superuser_dsn)
    try:
        for role in role_names(service):
            await _ensure_role(connection, role, passwords[role])
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(
                f'CREATE DATABASE "{name}" OWNER "{service}_owner" TEMPLATE template0 '
                "ENCODING 'UTF8' LOCALE 'C'"
            )
        for role in role_names(service)[1:]:
            for setting, value in _LIMITS.items():
                await connection.execute(f"ALTER ROLE \"{role}\" SET {setting} = '{value}'")
    finally:
        await connection.close()
    inside = await asyncpg.connect(superuser_dsn, database=name)
    try:
        await _close_doors(inside, service, name)
    finally:
        await inside.close()


async def _ensure_role(connection: asyncpg.Connection, role: str, password: str) -> None:
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    await connection.execute(
        f'{"ALTER" if exists else "CREATE"} ROLE "{role}" LOGIN NOINHERIT NOSUPERUSER NOCREATEDB '
        f"NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {quoted}"
    )


async def _close_doors(connection: asyncpg.Connection, service: str, database: str) -> None:
    """Take from PUBLIC what PostgreSQL gives it: TEMP tables, other databases, large objects, and the
    names of statements that stay prepared on a pooled connection from one tenant to the next."""
    await connection.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
    await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for role in role_names(service)[1:]:
        await connection.execute(f'GRANT CONNECT ON DATABASE "{database}" TO "{role}"')
    functions = await connection.fetch(
        "SELECT oid::regprocedure::text AS signature FROM pg_proc "
        "WHERE pronamespace = 'pg_catalog'::regnamespace "
        "AND (proname LIKE 'lo\\_%' OR proname IN ('loread', 'lowrite'))"
    )
    for view, function in (("pg_prepared_statements", "pg_prepared_statement"), ("pg_cursors", "pg_cursor")):
        await connection.execute(f"REVOKE ALL ON pg_catalog.{view} FROM PUBLIC")
        await connection.execute(f"REVOKE ALL ON FUNCTION pg_catalog.{function}() FROM PUBLIC")
    for row in functions:
        await connection.execute(f"REVOKE ALL ON FUNCTION pg_catalog.{row['signature']} FROM PUBLIC")
