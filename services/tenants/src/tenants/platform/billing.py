"""Routes `/api/v1/platform/billing…`: how billing stands, and comparing it with Stripe."""

from functools import partial
from typing import Annotated

from fastapi import Query, Response

from common.ids import JobId, Kind, TenantId, to_text
from common.schema import Page
from common.web.deps import Cursor, Limit, Shared
from common.web.platform import AtThePlatform, InNamedTenant, platform_router
from tenants.billing.orders import order
from tenants.billing.presentation import present, present_run, summarise, summarise_run
from tenants.billing.queries import (
    WantedBilling,
    find_billing,
    get_reconciliation,
    get_subscription,
    list_reconciliations,
)
from tenants.billing.schemas import BillingState, ReconciliationOrder, ReconciliationRun
from tenants.platform.paging import cut_page

router = platform_router("/billing", "operators")

LISTING = "platform.billing"
_STATUS = Query(description="Stripe's own, or `pending`", pattern="^[a-z_]{1,40}$", examples=["past_due"])
_STUCK = Query(description="Only those whose last attempt failed")


@router.get("", operation_id="listBilling")
async def list_billing(
    session: AtThePlatform,
    shared: Shared,
    status: Annotated[str | None, _STATUS] = None,
    stuck: Annotated[bool, _STUCK] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[BillingState]:
    """How billing stands, of the newest tenants first."""
    find = partial(find_billing, session, WantedBilling(status, stuck))
    rows, next_cursor = await cut_page(session, shared.cursors, LISTING, find, limit=limit, cursor=cursor)
    return Page(data=[summarise(row) for row in rows], next_cursor=next_cursor)


@router.get("/reconciliations", operation_id="listReconciliations")
async def list_all_reconciliations(
    session: AtThePlatform, shared: Shared, limit: Limit = 20, cursor: Cursor = None
) -> Page[ReconciliationRun]:
    """Comparisons of all tenants with Stripe, each day's and those that operators ordered, newest first."""
    rows, next_cursor = await list_reconciliations(session, shared.cursors, limit, cursor)
    return Page(data=[summarise_run(row) for row in rows], next_cursor=next_cursor)


@router.post("/reconciliations", status_code=202, operation_id="reconcileBilling")
async def reconcile_all(
    body: ReconciliationOrder, session: AtThePlatform, response: Response
) -> ReconciliationRun:
    """Have all tenants compared with Stripe, and what differs mended; `Location` has the report.

    One runs at a time, and one that only compares beside it: while it does, it is the answer again.
    """
    row = await order(session, dry_run=body.dry_run)
    response.headers["Location"] = f"{router.prefix}/reconciliations/{to_text(Kind.JOB, row.job_id)}"
    return present_run(row)


@router.get("/reconciliations/{job_id}", operation_id="showReconciliation")
async def show_reconciliation(job_id: JobId, session: AtThePlatform) -> ReconciliationRun:
    """One comparison of all tenants, with its report when it is finished."""
    return present_run(await get_reconciliation(session, job_id))


@router.get("/{tenant_id}", operation_id="showBilling")
async def show_billing(tenant_id: TenantId, session: InNamedTenant) -> BillingState:
    """How one tenant's billing stands, and what stood in the last attempt's way."""
    return present(await get_subscription(session))


@router.get("/{tenant_id}/reconciliations", operation_id="listTenantReconciliations")
async def list_tenant_reconciliations(
    tenant_id: TenantId, session: InNamedTenant, shared: Shared, limit: Limit = 20, cursor: Cursor = None
) -> Page[ReconciliationRun]:
    """Comparisons of one tenant that operators ordered, newest first."""
    rows, next_cursor = await list_reconciliations(session, shared.cursors, limit, cursor)
    return Page(data=[summarise_run(row) for row in rows], next_cursor=next_cursor)


@router.post("/{tenant_id}/reconciliations", status_code=202, operation_id="reconcileTenantBilling")
async def reconcile_tenant(
    tenant_id: TenantId, body: ReconciliationOrder, session: InNamedTenant, response: Response
) -> ReconciliationRun:
    """Have one tenant compared with Stripe, like all of them."""
    row = await order(session, dry_run=body.dry_run)
    tenant, job = to_text(Kind.TENANT, tenant_id), to_text(Kind.JOB, row.job_id)
    response.headers["Location"] = f"{router.prefix}/{tenant}/reconciliations/{job}"
    return present_run(row)


@router.get("/{tenant_id}/reconciliations/{job_id}", operation_id="showTenantReconciliation")
async def show_tenant_reconciliation(
    tenant_id: TenantId, job_id: JobId, session: InNamedTenant
) -> ReconciliationRun:
    """One comparison of a tenant, with its report when it is finished."""
    return present_run(await get_reconciliation(session, job_id))
