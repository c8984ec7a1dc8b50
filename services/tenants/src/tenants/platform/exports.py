"""Routes `/api/v1/platform/exports…`: how far exports are; operators never come by an archive."""

from functools import partial

from common.ids import JobId, TenantId
from common.schema import Page
from common.web.deps import Cursor, Limit, Shared
from common.web.platform import AtThePlatform, InNamedTenant, platform_router
from tenants.export.presentation import present, summarise
from tenants.export.queries import WantedExports, find_exports, get_export
from tenants.export.schemas import ExportState, ExportStatus
from tenants.platform.paging import cut_page

router = platform_router("/exports", "operators")

LISTING = "platform.exports"


@router.get("", operation_id="listExports")
async def list_exports(
    session: AtThePlatform,
    shared: Shared,
    status: ExportStatus | None = None,
    tenant_id: TenantId | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[ExportState]:
    """Exports of all tenants, or of one, newest first."""
    find = partial(find_exports, session, WantedExports(status, tenant_id))
    rows, next_cursor = await cut_page(
        session, shared.cursors, LISTING, find, limit=limit, cursor=cursor, key="job_id"
    )
    return Page(data=[summarise(row) for row in rows], next_cursor=next_cursor)


@router.get("/{tenant_id}/{job_id}", operation_id="showExport")
async def show_export(tenant_id: TenantId, job_id: JobId, session: InNamedTenant) -> ExportState:
    """One export of a tenant: which services have written their part, and why it failed if it did."""
    return await present(session, await get_export(session, job_id))
