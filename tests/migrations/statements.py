"""What code of a schema can say at most: every statement that its roles have the privileges for."""

from collections.abc import Iterator

import asyncpg

_COLUMNS = """
SELECT format('%I.%I', n.nspname, c.relname) AS table, quote_ident(a.attname) AS column,
    format_type(a.atttypid, a.atttypmod) AS type,
    has_column_privilege(c.oid, a.attnum, 'SELECT') AS reads,
    has_column_privilege(c.oid, a.attnum, 'INSERT') AND w.writable AS inserts,
    has_column_privilege(c.oid, a.attnum, 'UPDATE') AND w.writable AS updates,
    has_table_privilege(c.oid, 'DELETE') AS deletes
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT a.attgenerated = '' AND a.attidentity <> 'a' AS writable) AS w
WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public') AND n.nspname NOT LIKE 'pg\\_%'
    AND has_schema_privilege(n.oid, 'USAGE')
ORDER BY c.oid, a.attnum
"""
_FUNCTIONS = """
SELECT format('%I.%I', n.nspname, p.proname) AS name,
    ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (t, i)
        ORDER BY i) AS types
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'public') AND n.nspname NOT LIKE 'pg\\_%'
    AND p.prorettype <> 'trigger'::regtype AND has_schema_privilege(n.oid, 'USAGE')
    AND has_function_privilege(p.oid, 'EXECUTE')
"""


async def possible(connection: asyncpg.Connection) -> list[str]:
    """The statements that the connection's role can say now; checked by planning each."""
    tables: dict[str, list[asyncpg.Record]] = {}
    for row in await connection.fetch(_COLUMNS):
        tables.setdefault(row["table"], []).append(row)
    said = [statement for table, columns in tables.items() for statement in _of(table, columns)]
    for name, types in await connection.fetch(_FUNCTIONS):
        values = ", ".join(_parameter(place, kind) for place, kind in enumerate(types, start=1))
        said.append(f"SELECT * FROM {name}({values})")
    refused = await refusals(connection, said)
    return [statement for statement in said if statement not in refused]


def _of(table: str, columns: list[asyncpg.Record]) -> Iterator[str]:
    if reads := [row["column"] for row in columns if row["reads"]]:
        yield f"SELECT {', '.join(reads)} FROM {table}"
    if inserts := [row for row in columns if row["inserts"]]:
        names = ", ".join(row["column"] for row in inserts)
        values = ", ".join(_parameter(place, row["type"]) for place, row in enumerate(inserts, start=1))
        yield f"INSERT INTO {table} ({names}) VALUES ({values})"
    for row in columns:
        if row["updates"]:
            yield f"UPDATE {table} SET {row['column']} = {_parameter(1, row['type'])}"
    if columns[0]["deletes"]:
        yield f"DELETE FROM {table}"


def _parameter(place: int, kind: str) -> str:
    return f"${place}::{kind}"


async def refusals(connection: asyncpg.Connection, said: list[str]) -> dict[str, str]:
    """Those that cannot be said, and why. Planning looks at names, types, grants and policies."""
    found: dict[str, str] = {}
    for statement in said:
        try:
            await connection.execute(f"EXPLAIN (GENERIC_PLAN) {statement}")
        except asyncpg.PostgresError as error:
            found[statement] = str(error)
    return found
