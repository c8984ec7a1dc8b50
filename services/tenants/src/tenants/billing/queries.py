"""Reads and claims of subscriptions."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, or_, select, text, update

from common.db.session import TenantSession
from common.errors import NotFound
from tenants.billing.rules import LEASE
from tenants.models import SubscriptionRow

_DUE_TENANTS = text("SELECT tenants.due_billing_tenants(:batch, :lease)")


async def get_subscription(session: TenantSession) -> SubscriptionRow:
    """The tenant's subscription.

    Raises:
        NotFound: it has none.
    """
    row = await session.scalar(select(SubscriptionRow))
    if row is None:
        raise NotFound
    return row


async def list_due_tenants(session: TenantSession, batch: int) -> Sequence[UUID]:
    """Tenants with due billing, longest due first; in a context of the platform's tenant."""
    return (await session.scalars(_DUE_TENANTS, {"batch": batch, "lease": LEASE})).all()


async def find_due(session: TenantSession) -> SubscriptionRow | None:
    """The tenant's subscription when there is something to do that nobody is doing, locked."""
    restarted = func.pg_postmaster_start_time() < func.clock_timestamp() - LEASE
    statement = select(SubscriptionRow).where(
        SubscriptionRow.next_attempt_at <= func.clock_timestamp(),
        or_(SubscriptionRow.claim.is_(None), restarted),
    )
    return await session.scalar(statement.with_for_update(skip_locked=True))


async def lock_claimed(session: TenantSession, claim: UUID) -> SubscriptionRow | None:
    """The tenant's subscription, locked, while the claim on it is still ours."""
    statement = select(SubscriptionRow).where(SubscriptionRow.claim == claim)
    return await session.scalar(statement.with_for_update())


async def schedule(session: TenantSession, delay: timedelta) -> None:
    """Have the tenant's subscription looked at after `delay`."""
    await session.execute(update(SubscriptionRow).values(next_attempt_at=func.clock_timestamp() + delay))


async def schedule_unfinished(session: TenantSession) -> None:
    """Have the tenant's subscription looked at now, if it has none at Stripe yet and nobody is at it."""
    await session.execute(
        update(SubscriptionRow)
        .where(SubscriptionRow.subscription_id.is_(None), SubscriptionRow.claim.is_(None))
        .values(next_attempt_at=func.clock_timestamp())
    )
