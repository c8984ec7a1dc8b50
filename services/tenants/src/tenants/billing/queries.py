"""Reads and claims of subscriptions, and of the daily comparison."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert

from common.db.session import TenantSession
from common.errors import NotFound
from tenants.billing.rules import LEASE
from tenants.models import ReconciliationRow, SubscriptionRow

_REPORTS_KEPT = timedelta(days=90)
_DUE_TENANTS = text("SELECT tenants.due_billing_tenants(:batch, :lease)")
_BILLED_TENANTS = text("SELECT tenants.billed_tenants(:after, :batch)")


async def find_subscription(session: TenantSession) -> SubscriptionRow | None:
    """The tenant's subscription, or None."""
    return await session.scalar(select(SubscriptionRow))


async def get_subscription(session: TenantSession) -> SubscriptionRow:
    """The tenant's subscription.

    Raises:
        NotFound: it has none.
    """
    row = await find_subscription(session)
    if row is None:
        raise NotFound
    return row


async def lock_subscription(session: TenantSession) -> SubscriptionRow:
    """The tenant's subscription, locked until the transaction ends.

    Raises:
        NotFound: it has none.
    """
    row = await session.scalar(select(SubscriptionRow).with_for_update())
    if row is None:
        raise NotFound
    return row


async def list_due_tenants(session: TenantSession, batch: int) -> Sequence[UUID]:
    """Tenants with due billing, longest due first; in a context of the platform's tenant."""
    return (await session.scalars(_DUE_TENANTS, {"batch": batch, "lease": LEASE})).all()


async def list_billed_tenants(session: TenantSession, after: UUID, batch: int) -> Sequence[UUID]:
    """Tenants with a subscription, by id; in a context of the platform's tenant."""
    return (await session.scalars(_BILLED_TENANTS, {"after": after, "batch": batch})).all()


async def find_free(session: TenantSession, *, due: bool) -> SubscriptionRow | None:
    """The tenant's subscription when nobody is at it (and, asked so, something is due), locked."""
    statement = select(SubscriptionRow).where(_is_free(), _is_due() if due else true())
    return await session.scalar(statement.with_for_update(skip_locked=True))


async def find_retirable(session: TenantSession) -> SubscriptionRow | None:
    """The tenant's subscription when nobody is at it, or nobody may be any more, locked."""
    is_retired = SubscriptionRow.claim.is_not(None) & SubscriptionRow.next_attempt_at.is_(None)
    statement = select(SubscriptionRow).where(_is_free() | is_retired)
    return await session.scalar(statement.with_for_update(skip_locked=True))


def _is_due() -> ColumnElement[bool]:
    return SubscriptionRow.next_attempt_at <= func.clock_timestamp()


def _is_free() -> ColumnElement[bool]:
    restarted = func.pg_postmaster_start_time() < func.clock_timestamp() - LEASE
    return SubscriptionRow.claim.is_(None) | (_is_due() & restarted)


async def lock_claimed(session: TenantSession, claim: UUID) -> SubscriptionRow | None:
    """The tenant's subscription, locked, while the claim on it is still ours."""
    statement = select(SubscriptionRow).where(SubscriptionRow.claim == claim)
    return await session.scalar(statement.with_for_update())


async def schedule(session: TenantSession, delay: timedelta) -> None:
    """Have the tenant's subscription looked at after `delay`."""
    await session.execute(update(SubscriptionRow).values(next_attempt_at=func.clock_timestamp() + delay))


async def request_look(session: TenantSession) -> None:
    """Have the tenant's subscription compared with Stripe's now, or again after whoever is at it."""
    free = SubscriptionRow.claim.is_(None)
    await session.execute(
        update(SubscriptionRow).values(
            next_attempt_at=case((free, func.clock_timestamp()), else_=SubscriptionRow.next_attempt_at),
            look_again=~free,
        )
    )


async def schedule_unfinished(session: TenantSession) -> None:
    """Have the tenant's subscription looked at now, if it has none at Stripe yet and nobody is at it."""
    await session.execute(
        update(SubscriptionRow)
        .where(SubscriptionRow.subscription_id.is_(None), SubscriptionRow.claim.is_(None))
        .values(next_attempt_at=func.clock_timestamp())
    )


async def claim_day(session: TenantSession, day: date, claim: UUID, lease: timedelta) -> bool:
    """Make the comparison of a day ours for a lease; False when it is done or somebody is at it."""
    until = func.clock_timestamp() + lease
    statement = insert(ReconciliationRow).values(
        tenant_id=session.tenant_id, day=day, claim=claim, claimed_until=until
    )
    statement = statement.on_conflict_do_update(
        index_elements=["tenant_id", "day"],
        set_={"claim": claim, "claimed_until": until},
        where=ReconciliationRow.finished_at.is_(None)
        & (ReconciliationRow.claimed_until < func.clock_timestamp()),
    ).returning(ReconciliationRow.day)
    return (await session.execute(statement)).first() is not None


async def renew_day(session: TenantSession, day: date, claim: UUID, lease: timedelta) -> None:
    """Keep the claim on a day for another lease."""
    await session.execute(
        update(ReconciliationRow)
        .where(ReconciliationRow.day == day, ReconciliationRow.claim == claim)
        .values(claimed_until=func.clock_timestamp() + lease)
    )


async def finish_day(session: TenantSession, day: date, claim: UUID, report: dict[str, Any]) -> None:
    """Store the report of a day, while its claim is still ours; old reports are forgotten."""
    await session.execute(delete(ReconciliationRow).where(ReconciliationRow.day < day - _REPORTS_KEPT))
    await session.execute(
        update(ReconciliationRow)
        .where(ReconciliationRow.day == day, ReconciliationRow.claim == claim)
        .values(finished_at=func.clock_timestamp(), report=report)
    )
