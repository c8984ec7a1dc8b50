"""Routes `/api/v1/billing`, for the owner only."""

from typing import cast

from common.contracts.tenants import Plan
from common.web.deps import Session, owner_only
from common.web.routes import tenant_router
from tenants.billing import queries
from tenants.billing.schemas import Subscription
from tenants.tenant.queries import get_company
from tenants.tenant.rules import limits_of
from tenants.tenant.schemas import LimitSettings

router = tenant_router("/billing", "billing")


@router.get("/subscription", operation_id="getSubscription", dependencies=[owner_only])
async def get_subscription(session: Session) -> Subscription:
    """The plan, how its subscription stands, and its limits."""
    company = await get_company(session)
    row = await queries.get_subscription(session)
    limits = limits_of(cast(Plan, company.plan), company.limit_overrides)
    return Subscription(
        tenant_id=row.tenant_id,
        plan=row.plan,
        status=row.status,
        limits=LimitSettings.model_validate(limits),
        created_at=row.created_at,
    )
