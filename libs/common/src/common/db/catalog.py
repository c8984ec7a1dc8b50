"""Compares the catalog with the tenancy rules; a service refuses to start on a database that breaks them.

A newer release may have brought exceptions that this code does not list: its migrations mark each with a
comment (`REVIEWED`), and its own tests hold those to its own lists. The mark is not enough for what requests
reach: tables they may touch, their own policies, functions that everybody may call or that ask no context.
"""

from collections.abc import Mapping

import asyncpg

from common.db import shared_tables

_TABLES = """
SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
    c.relkind::text AS kind, c.relispartition AS partition,
    obj_description(c.oid, 'pg_class') AS comment,
    EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'
            AND a.attnotnull AND a.atttypid = 'uuid'::regtype) AS has_tenant,
    ARRAY(SELECT i.indexrelid::regclass::text FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique
          AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid
                          AND a.attnum = ANY (i.indkey) AND a.attname = 'tenant_id')) AS loose_keys,
    ARRAY(SELECT k.conname FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'f'
          AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid
                          AND a.attnum = ANY (k.conkey) AND a.attname = 'tenant_id')) AS loose_references,
    has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
        OR has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE') AS granted,
    has_table_privilege($1, c.oid, 'TRUNCATE, REFERENCES, TRIGGER') AS excess
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_toast%'
"""
_POLICIES = """
SELECT schemaname || '.' || tablename AS name, policyname, permissive, roles::text[] AS roles,
    qual, with_check,
    (SELECT obj_description(p.oid, 'pg_policy') FROM pg_policy AS p
     WHERE p.polrelid = format('%I.%I', schemaname, tablename)::regclass
        AND p.polname = policyname) AS comment
FROM pg_policies
"""
_FUNCTIONS = """
SELECT n.nspname || '.' || p.proname AS name, p.prosecdef AS definer,
    obj_description(p.oid, 'pg_proc') AS comment,
    CASE WHEN p.prosecdef THEN pg_get_functiondef(p.oid)
        ~ 'tenancy\\.(current_tenant|system_tenant|is_platform)\\(\\)' END
        AND NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS x
                        WHERE x.grantee = 0) AS asks,
    coalesce(array_to_string(p.proconfig, ','), '') LIKE '%search_path=%' AS pinned,
    n.nspname = 'tenancy' AND EXISTS (SELECT FROM unnest($1::name[]) AS r (name)
        WHERE has_function_privilege(r.name, p.oid, 'EXECUTE')) AS callable
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
_GRANTS = """
SELECT DISTINCT n.nspname || '.' || c.relname AS name, coalesce(r.rolname, 'PUBLIC') AS grantee
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT x.grantee FROM aclexplode(c.relacl) AS x
    UNION ALL SELECT x.grantee FROM pg_attribute AS a, aclexplode(a.attacl) AS x WHERE a.attrelid = c.oid
) AS g LEFT JOIN pg_roles AS r ON r.oid = g.grantee
WHERE g.grantee <> c.relowner AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
_ROLES = """
SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS mighty,
    EXISTS (SELECT FROM pg_auth_members AS m WHERE m.member = r.oid) AS member_of_others,
    EXISTS (SELECT FROM pg_class AS c WHERE c.relowner = r.oid) AS owns_tables,
    has_database_privilege(r.oid, current_database(), 'TEMP') AS temp,
    EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname NOT LIKE 'pg\\_%'
            AND has_schema_privilege(r.oid, n.oid, 'CREATE')) AS creates
FROM pg_roles AS r WHERE rolname = ANY ($1)
"""
REVIEWED = "Reviewed: "
"""How the comment on an exception begins; its reason follows."""
_OWN = "(tenant_id = tenancy.current_tenant())"
_OWN_OF_PLATFORM = "(tenant_id = tenancy.system_tenant())"
_NARROWED = (f"({_OWN} AND ", f"({_OWN_OF_PLATFORM} AND ")


class CatalogBroken(RuntimeError):
    """The database does not keep tenants apart the way it must. The message lists every finding."""


async def check_catalog(database_url: str, service: str) -> None:
    """Refuse to work on a database that breaks a tenancy rule.

    Raises:
        CatalogBroken: with all findings.
    """
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        findings = await find_breaches(connection, service)
    finally:
        await connection.close()
    if findings:
        raise CatalogBroken("; ".join(findings))


async def find_breaches(connection: asyncpg.Connection, service: str) -> list[str]:
    """Everything in this database that breaks a rule, as sentences."""
    app = f"{service}_app"
    tables = await connection.fetch(_TABLES, app)
    policies = await connection.fetch(_POLICIES)
    findings = [finding for table in tables for finding in _judge_table(table, policies, app)]
    findings += [finding for policy in policies for finding in _judge_policy(policy, app)]
    roles = [app, f"{service}_relay", *(["audit_ingest"] if service == "audit" else [])]
    for grant in await connection.fetch(_GRANTS):
        if grant["grantee"] not in roles or grant["name"] in shared_tables.UNGRANTED_TABLES:
            findings.append(f"{grant['name']} is granted to {grant['grantee']}")
    for function in await connection.fetch(_FUNCTIONS, roles):
        if function["callable"] and not function["definer"]:
            findings.append(f"{function['name']} is the kernel's own but others may call it")
        marked = _is_reviewed(function) and function["asks"]
        if function["definer"] and not marked and function["name"] not in shared_tables.DEFINER_FUNCTIONS:
            findings.append(f"{function['name']} is SECURITY DEFINER but not listed")
        if function["definer"] and not function["pinned"]:
            findings.append(f"{function['name']} is SECURITY DEFINER without a pinned search_path")
    for role in await connection.fetch(_ROLES, roles):
        findings += [
            f"{role['rolname']}: {flag}"
            for flag in ("mighty", "member_of_others", "owns_tables", "temp", "creates")
            if role[flag]
        ]
    return findings


def mark_reviewed(exceptions: Mapping[str, str]) -> str:
    """What a migration says of the exceptions it makes: SQL. By object, as `COMMENT ON` names it: why."""
    words = {name: (REVIEWED + reason).replace("'", "''") for name, reason in exceptions.items()}
    return "".join(f"COMMENT ON {name} IS '{word}';\n" for name, word in words.items())


def _is_reviewed(found: asyncpg.Record) -> bool:
    """Whether a newer release calls it an exception."""
    return (found["comment"] or "").startswith(REVIEWED)


def _judge_table(table: asyncpg.Record, policies: list[asyncpg.Record], app: str) -> list[str]:
    name = table["name"]
    findings: list[str] = []
    if table["kind"] in ("v", "m", "f"):
        findings.append(f"{name} is a view, materialized view or foreign table")
    if table["excess"]:
        findings.append(f"{name} grants TRUNCATE, REFERENCES or TRIGGER to {app}")
    if name in shared_tables.SHARED_TABLES or (_is_reviewed(table) and not table["granted"]):
        return findings
    if not (table["enabled"] and table["forced"]):
        findings.append(f"{name} has no forced row-level security")
    if not table["has_tenant"]:
        findings.append(f"{name} has no tenant_id uuid NOT NULL")
    if table["loose_keys"] or table["loose_references"]:
        findings.append(
            f"{name} has keys without tenant_id: {table['loose_keys'] + table['loose_references']}"
        )
    if table["partition"] and table["granted"]:
        findings.append(f"{name} is a partition with a grant of its own")
    walls = [
        p for p in policies if p["name"] == name and p["permissive"] == "RESTRICTIVE" and app in p["roles"]
    ]
    if table["granted"] and not any(_walls(policy) for policy in walls):
        findings.append(f"{name} has no restrictive tenant policy for {app}")
    return findings


def _walls(policy: asyncpg.Record) -> bool:
    return policy["qual"] == policy["with_check"] == _OWN


def _keeps_tenant(expression: str) -> bool:
    """Whether it admits a tenant's own rows only: that very comparison, or it and something more."""
    return expression in (_OWN, _OWN_OF_PLATFORM) or expression.startswith(_NARROWED)


def _judge_policy(policy: asyncpg.Record, app: str) -> list[str]:
    name, roles = policy["name"], policy["roles"]
    findings: list[str] = []
    if "public" in roles:
        findings.append(f"{name}.{policy['policyname']} is for PUBLIC")
    expressions = [text for text in (policy["qual"], policy["with_check"]) if text is not None]
    if any("SELECT" in text.upper() for text in expressions):
        findings.append(f"{name}.{policy['policyname']} has a sub-query")
    compares = all(_keeps_tenant(text) for text in expressions)
    if app in roles and not compares:
        findings.append(f"{name}.{policy['policyname']} lets {app} past its tenant")
    listed = name.rstrip("_0123456789") in shared_tables.ROLE_POLICIES or _is_reviewed(policy)
    if app not in roles and not compares and not listed:
        findings.append(f"{name}.{policy['policyname']} lets {roles} past the tenant but is not listed")
    return findings
