"""Pages of lists that a definer function reads across tenants, newest first."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from common.db.paging import Cursors
from common.db.session import TenantSession

Find = Callable[[UUID | None, int], Awaitable[Sequence[Any]]]
"""At most so many rows that come after a key, newest first."""

_BATCH = 200


async def cut_page(
    session: TenantSession,
    cursors: Cursors,
    listing: str,
    find: Find,
    *,
    limit: int,
    cursor: str | None,
    key: str = "tenant_id",
) -> tuple[Sequence[Any], str | None]:
    """One page and the next cursor, which belongs to this `listing`; filters may change between pages."""
    before = None if cursor is None else cursors.decode(session.tenant_id, listing, cursor)
    rows = await find(before, limit + 1)
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], cursors.encode(session.tenant_id, listing, getattr(rows[limit - 1], key))


async def every(find: Find, key: str = "tenant_id") -> AsyncIterator[Any]:
    """All rows, read in batches."""
    before: UUID | None = None
    while rows := await find(before, _BATCH):
        for row in rows:
            yield row
        before = getattr(rows[-1], key)
