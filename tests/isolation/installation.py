"""One service's database with two tenants that have rows in every table."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from common.db import shared_tables
from common.db.session import Database
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant

_TABLES = """
SELECT n.nspname || '.' || c.relname AS name,
    has_table_privilege($1, c.oid, 'SELECT') AS readable,
    ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
          ORDER BY a.attnum) AS columns
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname || '.' || c.relname <> ALL ($2)
  AND has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A tenant table that the app role has some grant on; a view or partition, had it one, would count."""

    name: str
    readable: bool
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """A service with two tenants; `mine` is the attacker's, `theirs` the victim's."""

    service: str
    database: ServiceDatabase
    harness: Harness
    mine: MadeTenant
    theirs: MadeTenant
    tables: Sequence[Table]

    def pool(self, size: int, pool_timeout: float = 5.0) -> Database:
        """Connections as the app role; nobody waits for one longer than `pool_timeout` seconds."""
        return Database(
            self.database.app_url,
            self.database.tenancy_key,
            pool_size=size,
            pool_timeout=pool_timeout,
            pooler_mode=self.database.pooler_mode,
        )

    @property
    def readable(self) -> list[Table]:
        return [table for table in self.tables if table.readable]


async def tenant_tables(connection: asyncpg.Connection, service: str) -> list[Table]:
    """Everything with rows and a grant to the app role, from the catalog, but the reviewed shared ones."""
    rows = await connection.fetch(_TABLES, f"{service}_app", list(shared_tables.SHARED_TABLES))
    return [Table(row["name"], row["readable"], tuple(row["columns"])) for row in rows]
