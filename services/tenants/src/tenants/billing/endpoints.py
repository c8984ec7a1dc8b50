"""Routes `/api/v1/billing`, for the owner only."""

from typing import cast

from fastapi import Response

from common.contracts.tenants import Plan
from common.db.paging import position_elsewhere
from common.db.session import TenantSession
from common.ids import Kind, to_text
from common.schema import Page
from common.web.deps import Caller, Cursor, Limit, Opened, Session, Shared, owner_only
from common.web.routes import account_router, tenant_router
from tenants.billing import queries, service
from tenants.billing.errors import BillingNotReady, BillingUnavailable
from tenants.billing.gateway import BillingFailed, Stripe
from tenants.billing.rules import OVER, PRICES, banner_of
from tenants.billing.schemas import Invoice, PlanChange, Portal, Subscription
from tenants.models import SubscriptionRow
from tenants.parts import Parts
from tenants.tenant.queries import get_company
from tenants.tenant.rules import limits_of
from tenants.tenant.schemas import LimitSettings

router = tenant_router("/billing", "billing")
paying = account_router("/billing", "billing")
"""Works while the tenant is suspended: it may be so because nobody has paid."""

_INVOICES = "invoices"


@router.get("/subscription", operation_id="getSubscription", dependencies=[owner_only])
async def get_subscription(session: Session) -> Subscription:
    """The plan, how its subscription stands, what the owner must know of it, and the limits."""
    return await _present(session, await queries.get_subscription(session))


@router.post("/plan", status_code=202, operation_id="changePlan", dependencies=[owner_only])
async def change_plan(body: PlanChange, session: Session, caller: Caller) -> Subscription:
    """Ask for another plan. It holds as soon as Stripe has it, a moment later: until then this answer, like
    `GET /billing/subscription`, shows the plan that holds as `plan` and the one asked for in `wanted_plan`.
    """
    row = await service.want_plan(session, caller.user_id, body.plan)
    return await _present(session, row)


async def _present(session: TenantSession, row: SubscriptionRow) -> Subscription:
    company = await get_company(session)
    limits = limits_of(cast(Plan, company.plan), company.limit_overrides)
    return Subscription(
        tenant_id=row.tenant_id,
        plan=row.plan,
        wanted_plan=row.wanted_plan,
        status=row.status,
        banner=banner_of(row.status),
        suspends_at=row.suspend_at,
        limits=LimitSettings.model_validate(limits),
        created_at=row.created_at,
    )


@paying.post("/portal", operation_id="openPortal", dependencies=[owner_only])
async def open_portal(session: Opened, parts: Parts, response: Response) -> Portal:
    """A page at Stripe for payment method, invoices and the subscription; when that has ended, one for
    paying for a new one. Works while the tenant is suspended, too."""
    response.headers["Cache-Control"] = "no-store"
    row = await queries.get_subscription(session)
    if row.customer_id is None:
        raise BillingNotReady
    await session.commit()  # Stripe is never asked inside a transaction
    try:
        return Portal(url=await _open_page(parts.stripe, row, str(parts.settings.public_url)))
    except BillingFailed as failure:
        raise BillingUnavailable from failure


async def _open_page(stripe: Stripe, row: SubscriptionRow, return_url: str) -> str:
    customer_id = cast(str, row.customer_id)
    if row.status not in OVER:
        return await stripe.open_portal(customer_id, return_url)
    price = PRICES[cast(Plan, row.wanted_plan or row.plan)]
    return await stripe.open_checkout(customer_id, to_text(Kind.TENANT, row.tenant_id), price, return_url)


@router.get("/invoices", operation_id="listInvoices", dependencies=[owner_only])
async def list_invoices(
    session: Session, shared: Shared, parts: Parts, limit: Limit = 20, cursor: Cursor = None
) -> Page[Invoice]:
    """The tenant's invoices, newest first, as Stripe has them now."""
    row = await queries.get_subscription(session)
    after = position_elsewhere(shared.cursors, row.tenant_id, _INVOICES, cursor)
    if row.customer_id is None:
        return Page(data=[])
    await session.commit()  # Stripe is never asked inside a transaction
    try:
        found, last = await parts.stripe.list_invoices(row.customer_id, limit, after)
    except BillingFailed as failure:
        raise BillingUnavailable from failure
    next_cursor = shared.cursors.encode_text(row.tenant_id, _INVOICES, last) if last is not None else None
    return Page(data=found, next_cursor=next_cursor)
