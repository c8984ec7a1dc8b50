"""Billing in steps: claim, talk to Stripe, settle. Only the first and the last touch the database."""

from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from common import clock, telemetry
from common.bus import outbox
from common.contracts.envelope import Actor
from common.contracts.tenants import Plan, PlanChangeRequested, SubscriptionChanged
from common.db.session import TenantSession
from common.errors import NotFound
from common.ids import Kind, new_id, to_text
from tenants.billing import queries
from tenants.billing.drift import Known
from tenants.billing.rules import LEASE, SECOND_LOOK, end_of_grace, has_paid, must_suspend, retry_delay
from tenants.lifecycle.service import reactivate, suspend
from tenants.models import CompanyRow, SubscriptionRow
from tenants.provisioning.queries import get_provisioning
from tenants.provisioning.service import begin_step, fail_step, finish_step
from tenants.tenant.queries import get_company, lock_company
from tenants.tenant.service import change_plan


@dataclass(frozen=True, slots=True)
class Case:
    """What one attempt has to know."""

    tenant_id: UUID
    claim: UUID
    company_name: str
    owner_email: str
    known: Known
    customer_key: str
    subscription_key: str
    plan_key: str | None
    wanted_by: Actor | None
    is_first: bool
    traceparent: str | None

    @property
    def tenant(self) -> str:
        return to_text(Kind.TENANT, self.tenant_id)

    @property
    def change_key(self) -> str:
        """For the change of a plan: the wish's, or this attempt's when nobody wished it."""
        return self.plan_key or f"{self.tenant}/restore/{self.claim}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands at Stripe after an attempt."""

    customer_id: str
    subscription_id: str
    plan: Plan
    status: str


async def read(session: TenantSession) -> Case:
    """The tenant's billing as it is known here.

    Raises:
        NotFound: it has none.
    """
    row = await queries.get_subscription(session)
    wanted_by = row.wanted_by and Actor(type="user", id=to_text(Kind.USER, row.wanted_by))
    return Case(
        tenant_id=row.tenant_id,
        claim=new_id(),
        company_name=(await get_company(session)).company_name,
        owner_email=(await get_provisioning(session)).owner_email,
        known=Known(
            customer_id=row.customer_id,
            subscription_id=row.subscription_id,
            plan=cast(Plan, row.plan),
            status=row.status,
            wanted_plan=cast(Plan | None, row.wanted_plan),
        ),
        customer_key=row.customer_key,
        subscription_key=row.subscription_key,
        plan_key=row.plan_key,
        wanted_by=wanted_by,
        is_first=row.first_asked_at is None,
        traceparent=row.traceparent,
    )


async def read_live(session: TenantSession) -> Case:
    """The same of a tenant whose billing is still at work.

    Raises:
        NotFound: it has none, or its billing is retired.
    """
    row = await queries.get_subscription(session)
    if row.claim is not None and row.next_attempt_at is None:
        raise NotFound
    return await read(session)


async def want_plan(session: TenantSession, user_id: UUID, plan: Plan) -> SubscriptionRow:
    """Store that the owner wants a plan; Stripe is asked after the commit.

    Wanting what is so already changes nothing, unless another wish is still under way: the later one wins.

    Raises:
        NotFound: the tenant has no subscription.
    """
    row = await queries.lock_subscription(session)
    if plan == (row.wanted_plan or row.plan):
        return row
    row.wanted_plan, row.wanted_by = plan, user_id
    row.plan_key = f"{to_text(Kind.TENANT, session.tenant_id)}/plan/{new_id()}"
    row.traceparent = telemetry.carrier().get("traceparent")
    await session.flush()
    await queries.request_look(session)
    version = (await lock_company(session)).version
    event = PlanChangeRequested(tenant_id=session.tenant_id, version=version, plan=plan)
    await outbox.emit(session, event)
    return row


async def claim(session: TenantSession, *, at_once: bool = False) -> Case | None:
    """Make the tenant's due billing ours for a lease (at once: due or not); None when there is nothing to do
    or somebody is at it."""
    row = await queries.find_free(session, due=not at_once)
    if row is None:
        return None
    case = await read(session)
    row.claim, row.attempts, row.look_again = case.claim, row.attempts + 1, False
    row.first_asked_at = row.first_asked_at or clock.now()
    await session.flush()
    await queries.schedule(session, LEASE)
    await begin_step(session, "billing")
    return case


async def retire(session: TenantSession) -> Case | None:
    """Take the tenant's billing out of work for good: from now on nobody makes anything at Stripe for it.

    None while somebody is at it, who still may; what is retired already can be so again.

    Raises:
        NotFound: it has none.
    """
    row = await queries.find_retirable(session)
    if row is None:
        await queries.get_subscription(session)
        return None
    case = await read(session)
    row.claim, row.next_attempt_at = case.claim, None
    await session.flush()
    return case


async def forget(session: TenantSession, case: Case) -> None:
    """What we had the ids of is gone from Stripe: the next attempt finds or makes it anew, under new keys."""
    row = await queries.lock_claimed(session, case.claim)
    if row is None:
        return
    base = f"{case.tenant}/{new_id()}"
    row.customer_key, row.subscription_key = f"{base}/customer", f"{base}/subscription"
    row.customer_id = row.subscription_id = row.claim = None
    await session.flush()
    await queries.schedule(session, timedelta())


async def settle(session: TenantSession, case: Case, standing: Standing, grace: timedelta) -> None:
    """Bring our side to how it stands at Stripe, tell what changed, end the step of the sign-up."""
    row = await queries.lock_claimed(session, case.claim)
    if row is None:
        return
    company = await lock_company(session)
    now = clock.now()
    before = (row.customer_id, row.subscription_id, row.plan, row.status)
    is_changed = before != astuple(standing)
    row.customer_id, row.subscription_id = standing.customer_id, standing.subscription_id
    row.plan, row.status, row.problem = standing.plan, standing.status, None
    row.suspend_at = end_of_grace(standing.status, row.suspend_at, now, grace)
    row.next_attempt_at, row.claim, row.attempts = _next_look(case, row, now), None, 0
    if row.wanted_plan in (None, standing.plan):
        row.wanted_plan = row.wanted_by = row.plan_key = row.traceparent = None
    await session.flush()
    await change_plan(session, company, standing.plan)
    if is_changed:
        await _tell(session, company, standing)
    await _judge(session, company, row, now)
    await finish_step(session, "billing")


def _next_look(case: Case, row: SubscriptionRow, now: datetime) -> datetime | None:
    if row.look_again:
        return now
    if case.known.customer_id != row.customer_id:
        return now + SECOND_LOOK
    return row.suspend_at if row.suspend_at is not None and row.suspend_at > now else None


async def _tell(session: TenantSession, company: CompanyRow, standing: Standing) -> None:
    company.updated_at = clock.now()
    await session.flush()
    await outbox.emit(
        session,
        SubscriptionChanged(
            tenant_id=session.tenant_id,
            version=company.version,
            plan=standing.plan,
            status=standing.status,
            customer_id=standing.customer_id,
            subscription_id=standing.subscription_id,
        ),
    )


async def _judge(session: TenantSession, company: CompanyRow, row: SubscriptionRow, now: datetime) -> None:
    if has_paid(row.status):
        await reactivate(session, company, "unpaid")
    elif must_suspend(row.status, row.suspend_at, now):
        await suspend(session, company, "unpaid")


async def put_off(session: TenantSession, case: Case, code: str) -> None:
    """The attempt failed: say why, try again later."""
    row: SubscriptionRow | None = await queries.lock_claimed(session, case.claim)
    if row is None:
        return
    row.claim, row.problem = None, code
    await session.flush()
    delay = retry_delay(row.attempts)
    await queries.schedule(session, delay)
    await fail_step(session, "billing", code, next_attempt_at=clock.now() + delay)
