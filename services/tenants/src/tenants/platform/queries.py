"""What operators see of tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import text

from common.db.paging import Cursors
from common.db.session import TenantSession
from tenants.platform.paging import cut_page

LISTING = "platform.tenants"
_LIST = text(
    "SELECT tenant_id, company_name, plan, status, suspensions, created_at "
    "FROM tenants.list_tenants(:search, :status, :plan, :before, :batch)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tenants: those whose company name contains `search`, with this status and plan."""

    search: str | None = None
    status: str | None = None
    plan: str | None = None


async def list_tenants(
    session: TenantSession, cursors: Cursors, wanted: Wanted, limit: int, cursor: str | None
) -> tuple[Sequence[Any], str | None]:
    """One page, newest first, and the next cursor; in the platform's own context only."""
    find = partial(find_tenants, session, wanted)
    return await cut_page(session, cursors, LISTING, find, limit=limit, cursor=cursor)


async def find_tenants(
    session: TenantSession, wanted: Wanted, before: UUID | None, batch: int
) -> Sequence[Any]:
    """At most `batch` tenants older than `before`, newest first."""
    values = {"search": wanted.search, "status": wanted.status, "plan": wanted.plan}
    return (await session.execute(_LIST, {**values, "before": before, "batch": batch})).all()
