"""What can still be found of a tenant: every row of every table of a database, read as text."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import asyncpg

from common.ids import Kind, to_text

_TABLES = """
SELECT n.nspname || '.' || c.relname AS name,
    ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              AND a.atttypid = 'uuid'::regtype) AS ids,
    EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS of_tenants
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY name
"""


async def counts_of(sql: asyncpg.Connection, tenant_id: UUID) -> dict[str, int]:
    """How many rows of the tenant each table has; those without any are left out."""
    found: dict[str, int] = {}
    for table in await sql.fetch(_TABLES):
        if table["of_tenants"]:
            statement = f"SELECT count(*) FROM {table['name']} WHERE tenant_id = $1"
            found[table["name"]] = await sql.fetchval(statement, tenant_id)
    return {name: count for name, count in found.items() if count}


async def ids_of(sql: asyncpg.Connection, tenant_id: UUID) -> set[UUID]:
    """Every identifier in the tenant's rows, its own among them."""
    found: set[UUID] = set()
    for table in await sql.fetch(_TABLES):
        if table["of_tenants"]:
            statement = f"SELECT {', '.join(table['ids'])} FROM {table['name']} WHERE tenant_id = $1"
            found |= {value for row in await sql.fetch(statement, tenant_id) for value in row if value}
    return found


def spellings(value: UUID) -> tuple[str, str, str]:
    """How an identifier may be written: as PostgreSQL does, as bytes, and what all its TypeIDs end in."""
    return str(value), value.hex, to_text(Kind.USER, value).rpartition("_")[2]


async def search(sql: asyncpg.Connection, words: Iterable[str]) -> Mapping[str, set[str]]:
    """Which of the words stand where, by table, in any column of any type."""
    wanted, found = by_length(words), dict[str, set[str]]()
    for table in await sql.fetch(_TABLES):
        for (text,) in await sql.fetch(f"SELECT lower(t::text) FROM {table['name']} AS t"):
            if standing := words_in(text, wanted):
                found.setdefault(table["name"], set()).update(standing)
    return found


def by_length(words: Iterable[str]) -> dict[int, set[str]]:
    """The words in small letters, as `words_in` wants them."""
    found: dict[int, set[str]] = {}
    for word in map(str.lower, words):
        found.setdefault(len(word), set()).add(word)
    return found


def words_in(text: str, wanted: Mapping[int, set[str]]) -> set[str]:
    """Looks up every piece that is as long as some word, so that thousands of words cost as little as one."""
    return {
        piece
        for length, words in wanted.items()
        for start in range(len(text) - length + 1)
        if (piece := text[start : start + length]) in words
    }
