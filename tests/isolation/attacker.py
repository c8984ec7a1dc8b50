"""Arbitrary SQL as the role a service runs as, and the two honest ways in."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.db.proofs import Prover
from common.ids import new_id
from common.testing.databases import ServiceDatabase
from common.testing.harness import MadeTenant
from tests.isolation.installation import Table

ENTER = "SELECT tenancy.enter_system($1, 'job', $2)"


class Attacker:
    """A connection as `<service>_app` on which any SQL can be run."""

    def __init__(self, connection: asyncpg.Connection, database: ServiceDatabase) -> None:
        self.sql = connection
        self._prover = Prover(database.tenancy_key)

    async def proof(self, tenant: MadeTenant) -> bytes:
        """What the service would prove on this connection for a job of the tenant."""
        return self._prover.system(tenant.tenant_id, "job", await self.backend_pid())

    async def backend_pid(self) -> int:
        """Of the backend at the moment: behind a pooler it is known inside a transaction only."""
        return int(await self.sql.fetchval("SELECT pg_backend_pid()"))

    async def enter(self, tenant: MadeTenant) -> None:
        """Enter as the service does for a job."""
        await self.replay(tenant, await self.proof(tenant))

    async def replay(self, tenant: MadeTenant, proof: bytes) -> None:
        """Enter with a proof from wherever."""
        await self.sql.fetchval(ENTER, tenant.tenant_id, proof)

    async def enter_user(self, tenant: MadeTenant) -> None:
        """Enter as the service does for a request of the tenant's owner."""
        ids = (tenant.tenant_id, tenant.owner_id, new_id(), datetime.now(tz=UTC))
        proof = self._prover.user(*ids, await self.backend_pid())
        enter = "SELECT split_part(tenancy.enter($1, $2, $3, $4, $5), '|', 1)"
        assert await self.sql.fetchval(enter, *ids, proof) == "ok"

    async def forge(self, context: str, seal: str, *, local: bool = True) -> None:
        """Write the settings that the policies look at."""
        await self.sql.execute(
            "SELECT set_config('tenancy.context', $1, $3), set_config('tenancy.seal', $2, $3)",
            context,
            seal,
            local,
        )

    async def settings(self) -> tuple[str | None, str | None]:
        """Context and seal, as any SQL can read them; None on a server connection that never had them."""
        row = await self.sql.fetchrow(
            "SELECT current_setting('tenancy.context', true), current_setting('tenancy.seal', true)"
        )
        return row[0], row[1]

    async def visible(self, tables: Iterable[Table]) -> dict[str, set[UUID]]:
        """By table, the tenants whose rows an unfiltered query shows; tables that show none are left out."""
        seen: dict[str, set[UUID]] = {}
        for table in tables:
            rows = await self.sql.fetch(f"SELECT DISTINCT tenant_id FROM {table.name}")
            if rows:
                seen[table.name] = {row["tenant_id"] for row in rows}
        return seen

    async def sqlstate(self, statement: str, *arguments: Any) -> str:
        """The SQLSTATE a statement fails with, or an empty string when it succeeds; undone either way.

        A transaction that is open goes on.
        """
        inside = self.sql.is_in_transaction()
        await self.sql.execute("SAVEPOINT probe" if inside else "BEGIN")
        state = ""
        try:
            await self.sql.execute(statement, *arguments)
        except asyncpg.PostgresError as error:
            state = error.sqlstate or "unknown"
        await self.sql.execute("ROLLBACK TO probe" if inside else "ROLLBACK")
        return state


@asynccontextmanager
async def attack(database: ServiceDatabase) -> AsyncGenerator[Attacker]:
    """A fresh connection as the app role."""
    cache = {"statement_cache_size": 0} if database.pooler_mode == "transaction" else {}
    connection = await asyncpg.connect(database.app_url, **cache)
    try:
        yield Attacker(connection, database)
    finally:
        await connection.close()
