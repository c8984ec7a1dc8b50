"""Tells a service's present state again, for projections that are older than the history of events."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from uuid import UUID

import asyncpg

from common.bus import outbox
from common.context import SystemContext
from common.contracts.envelope import Event
from common.db.session import Database, TenantSession
from common.ids import PLATFORM_TENANT

Describe = Callable[[TenantSession], AsyncIterator[Event]]
"""The state of everything the tenant has in the service, each aggregate locked before it is described, so
that its description and its changes leave in the order in which they are true."""

# The projection may be the one that is to be healed; the inbox knows a tenant by what it handled of it.
_TENANTS = """
SELECT tenant_id FROM (SELECT tenant_id FROM tenancy.tenants UNION SELECT tenant_id FROM tenancy.inbox) AS t
WHERE tenant_id <> $1 ORDER BY tenant_id
"""


async def list_tenants(relay_database_url: str) -> Sequence[UUID]:
    """Every tenant that the service has heard of."""
    connection = await asyncpg.connect(relay_database_url, timeout=5)
    try:
        return [row["tenant_id"] for row in await connection.fetch(_TENANTS, PLATFORM_TENANT)]
    finally:
        await connection.close()


async def describe_all(
    service: str, database: Database, describe: Describe, tenants: Sequence[UUID], *, dry_run: bool
) -> AsyncGenerator[int]:
    """Describe one tenant after the other, each in a transaction; yields how many events each one took."""
    for tenant_id in tenants:
        count = 0
        async with database.tenant(SystemContext(tenant_id, "job", service)) as session:
            async for event in describe(session):
                count += 1
                if not dry_run:
                    await outbox.emit(session, event)
            await session.commit()
        yield count
