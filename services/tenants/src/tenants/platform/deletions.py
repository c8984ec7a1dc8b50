"""Routes `/api/v1/platform/deletions…`: how far deletions are, and on with those that are stuck."""

from functools import partial
from typing import Annotated

from fastapi import Query

from common.ids import TenantId
from common.schema import Page
from common.web.deps import Cursor, Limit, Shared
from common.web.platform import AtThePlatform, InNamedTenant, platform_router
from tenants.deletion.presentation import present, summarise
from tenants.deletion.queries import WantedDeletions, find_deletions, get_deletion
from tenants.deletion.rules import Stage
from tenants.deletion.schemas import DeletionDetail, DeletionSummary
from tenants.deletion.service import hasten
from tenants.platform.paging import cut_page

router = platform_router("/deletions", "operators")

LISTING = "platform.deletions"
_STUCK = Query(description="Only those that something stands in the way of")


@router.get("", operation_id="listDeletions")
async def list_deletions(
    session: AtThePlatform,
    shared: Shared,
    status: Stage | None = None,
    stuck: Annotated[bool, _STUCK] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DeletionSummary]:
    """Deletions of tenants, those of the newest tenants first."""
    find = partial(find_deletions, session, WantedDeletions(status, stuck))
    rows, next_cursor = await cut_page(session, shared.cursors, LISTING, find, limit=limit, cursor=cursor)
    return Page(data=[summarise(row) for row in rows], next_cursor=next_cursor)


@router.get("/{tenant_id}", operation_id="showDeletion")
async def show_deletion(tenant_id: TenantId, session: InNamedTenant) -> DeletionDetail:
    """One deletion: how far it is, who has not reported, and the certificate when there is one."""
    return await present(session, await get_deletion(session))


@router.post("/{tenant_id}/run", operation_id="runDeletion")
async def run_deletion(tenant_id: TenantId, session: InNamedTenant) -> DeletionDetail:
    """Have the next step taken now: services that have not reported are asked again. Nothing happens before
    the grace is over, or when there is a certificate."""
    await hasten(session)
    return await present(session, await get_deletion(session))
