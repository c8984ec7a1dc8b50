"""Billing in steps: claim, talk to Stripe, settle. Only the first and the last touch the database."""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from common import clock
from common.bus import outbox
from common.contracts.tenants import Plan, SubscriptionChanged
from common.db.session import TenantSession
from common.ids import Kind, new_id, to_text
from tenants.billing import queries
from tenants.billing.gateway import Stripe, Subscription
from tenants.billing.rules import LEASE, PRICES, retry_delay
from tenants.models import SubscriptionRow
from tenants.provisioning.queries import get_provisioning
from tenants.provisioning.service import begin_step, fail_step, finish_step
from tenants.tenant.queries import get_company, lock_company


@dataclass(frozen=True, slots=True)
class Case:
    """What one attempt has to know."""

    tenant_id: UUID
    claim: UUID
    company_name: str
    owner_email: str
    plan: Plan
    customer_key: str
    customer_id: str | None
    subscription_key: str
    is_first: bool
    traceparent: str | None

    @property
    def tenant(self) -> str:
        return to_text(Kind.TENANT, self.tenant_id)


async def claim(session: TenantSession) -> Case | None:
    """Make the tenant's due billing ours for a lease; None when there is nothing to do."""
    row = await queries.find_due(session)
    if row is None:
        return None
    case = Case(
        tenant_id=row.tenant_id,
        claim=new_id(),
        company_name=(await get_company(session)).company_name,
        owner_email=(await get_provisioning(session)).owner_email,
        plan=cast(Plan, row.plan),
        customer_key=row.customer_key,
        customer_id=row.customer_id,
        subscription_key=row.subscription_key,
        is_first=row.first_asked_at is None,
        traceparent=row.traceparent,
    )
    row.claim, row.attempts = case.claim, row.attempts + 1
    row.first_asked_at = row.first_asked_at or clock.now()
    await session.flush()
    await queries.schedule(session, LEASE)
    await begin_step(session, "billing")
    return case


async def ensure_customer(stripe: Stripe, case: Case) -> str:
    """The tenant's one customer: the one we know, the one that is there, or a new one."""
    known = case.customer_id
    if known is None and not case.is_first:
        known = await stripe.find_customer(case.tenant, case.owner_email)
    return known or await stripe.create_customer(
        case.tenant, case.owner_email, case.company_name, case.customer_key
    )


async def ensure_subscription(stripe: Stripe, case: Case, customer_id: str) -> Subscription:
    """The customer's one subscription, to the tenant's plan when it is new."""
    found = None if case.is_first else await stripe.find_subscription(customer_id, case.tenant)
    return found or await stripe.create_subscription(
        customer_id, case.tenant, PRICES[case.plan], case.subscription_key
    )


async def settle(session: TenantSession, case: Case, customer_id: str, made: Subscription) -> None:
    """The subscription stands: store it, tell, end the step."""
    row = await queries.lock_claimed(session, case.claim)
    if row is None:
        return
    row.customer_id, row.subscription_id, row.status = customer_id, made.subscription_id, made.status
    row.claim, row.attempts, row.next_attempt_at = None, 0, None
    company = await lock_company(session)
    company.updated_at = clock.now()
    await session.flush()
    await outbox.emit(
        session,
        SubscriptionChanged(
            tenant_id=session.tenant_id,
            version=company.version,
            plan=cast(Plan, row.plan),
            status=row.status,
            customer_id=customer_id,
            subscription_id=made.subscription_id,
        ),
    )
    await finish_step(session, "billing")


async def put_off(session: TenantSession, case: Case, code: str) -> None:
    """The attempt failed: say why, try again later."""
    row: SubscriptionRow | None = await queries.lock_claimed(session, case.claim)
    if row is None:
        return
    row.claim = None
    await session.flush()
    delay = retry_delay(row.attempts)
    await queries.schedule(session, delay)
    await fail_step(session, "billing", code, next_attempt_at=clock.now() + delay)
