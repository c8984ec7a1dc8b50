"""Reads and claims of subscriptions, and of the daily comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer, undefer

from common.db.lookup import get_one
from common.db.paging import Cursors, page
from common.db.session import TenantSession
from common.errors import NotFound, ResourceNotFound
from common.ids import Kind, new_id, to_text
from tenants.billing.rules import LEASE
from tenants.models import ReconciliationRow, SubscriptionRow

_REPORTS_KEPT = timedelta(days=90)
_DUE_TENANTS = text("SELECT tenants.due_billing_tenants(:batch, :lease)")
_LIST = text("SELECT * FROM tenants.list_billing(:status, :stuck, :before, :batch)")
_ORDERING_TENANTS = text("SELECT tenants.due_reconciliations(:batch)")
_BILLED_TENANTS = text("SELECT tenants.billed_tenants(:after, :batch)")


async def find_subscription(session: TenantSession) -> SubscriptionRow | None:
    """The tenant's subscription, or None."""
    return await session.scalar(select(SubscriptionRow))


async def get_subscription(session: TenantSession) -> SubscriptionRow:
    """The tenant's subscription.

    Raises:
        ResourceNotFound: it has none.
    """
    row = await find_subscription(session)
    if row is None:
        raise ResourceNotFound("tenant", session.tenant_id, to_text(Kind.TENANT, session.tenant_id))
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


async def put_order(session: TenantSession, *, dry_run: bool) -> tuple[ReconciliationRow, bool]:
    """A new order of the session's tenant, or the unfinished one that there is, and whether it is new; old
    ones are forgotten."""
    age = func.clock_timestamp() - ReconciliationRow.requested_at
    ordered = ReconciliationRow.day.is_(None)
    await session.execute(delete(ReconciliationRow).where(ordered, age > _REPORTS_KEPT))
    statement = insert(ReconciliationRow).values(
        tenant_id=session.tenant_id, job_id=new_id(), day=None, dry_run=dry_run
    )
    unfinished = ordered & ReconciliationRow.finished_at.is_(None)
    statement = statement.on_conflict_do_nothing(
        index_elements=["tenant_id", "dry_run"], index_where=unfinished
    ).returning(ReconciliationRow.job_id)
    there_is = unfinished & (ReconciliationRow.dry_run == dry_run)
    while True:
        job_id = (await session.execute(statement)).scalar_one_or_none()
        wanted = there_is if job_id is None else ReconciliationRow.job_id == job_id
        row = await session.scalar(select(ReconciliationRow).where(wanted))
        if row is not None:  # else the one that there was has ended meanwhile
            return row, job_id is not None


async def claim_order(session: TenantSession, claim: UUID, lease: timedelta) -> ReconciliationRow | None:
    """The oldest order of the session's tenant that is due, as ours for a lease."""
    now = func.clock_timestamp()
    is_free = ReconciliationRow.claimed_until.is_(None) | (ReconciliationRow.claimed_until < now)
    due = select(ReconciliationRow).where(
        ReconciliationRow.day.is_(None), ReconciliationRow.finished_at.is_(None), is_free
    )
    row = await session.scalar(
        due.order_by(ReconciliationRow.job_id).limit(1).with_for_update(skip_locked=True)
    )
    if row is not None:
        row.claim = claim
        row.attempts += 1
        await session.flush()
        await renew_order(session, claim, lease)
    return row


async def renew_order(session: TenantSession, claim: UUID, lease: timedelta) -> bool:
    """Keep the claim on an order for another lease; False when it is not ours any more."""
    kept = update(ReconciliationRow).where(ReconciliationRow.claim == claim)
    kept = kept.values(claimed_until=func.clock_timestamp() + lease).returning(ReconciliationRow.job_id)
    return (await session.execute(kept)).first() is not None


async def put_back_order(session: TenantSession, claim: UUID) -> None:
    """Leave an order to the next who comes, as if it had not been begun."""
    row = update(ReconciliationRow).where(ReconciliationRow.claim == claim)
    await session.execute(row.values(claim=None, claimed_until=None, attempts=ReconciliationRow.attempts - 1))


async def finish_order(
    session: TenantSession, claim: UUID, report: dict[str, Any], error: str | None
) -> bool:
    """Store what came of an order; False when the claim on it is not ours any more."""
    ended = update(ReconciliationRow).where(ReconciliationRow.claim == claim)
    ended = ended.values(finished_at=func.clock_timestamp(), report=report, error=error)
    return (await session.execute(ended.returning(ReconciliationRow.job_id))).first() is not None


async def list_ordering_tenants(session: TenantSession, batch: int) -> Sequence[UUID]:
    """Tenants with orders that nobody is at, the platform's own among them; in a context of it."""
    return (await session.scalars(_ORDERING_TENANTS, {"batch": batch})).all()


async def get_reconciliation(session: TenantSession, job_id: UUID) -> ReconciliationRow:
    """One comparison.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    missing = ResourceNotFound("job", job_id, to_text(Kind.JOB, job_id))
    statement = select(ReconciliationRow).where(ReconciliationRow.job_id == job_id)
    return await get_one(session, statement, missing)


async def list_reconciliations(
    session: TenantSession, cursors: Cursors, limit: int, cursor: str | None
) -> tuple[Sequence[ReconciliationRow], str | None]:
    """One page of the comparisons of the session's tenant, newest first, and the next cursor; with the counts
    of their reports, which alone may have megabytes."""
    counted = select(ReconciliationRow).options(
        undefer(ReconciliationRow.counts), defer(ReconciliationRow.report, raiseload=True)
    )
    return await page(session, cursors, counted, ReconciliationRow.job_id, limit=limit, cursor=cursor)


@dataclass(frozen=True, slots=True)
class WantedBilling:
    """Which tenants' billing: with this status of their subscriptions; whose last attempt failed."""

    status: str | None = None
    stuck: bool = False


async def find_billing(
    session: TenantSession, wanted: WantedBilling, before: UUID | None, batch: int
) -> Sequence[Any]:
    """At most `batch` tenants' billing, of those older than `before`, newest first; in the platform's own
    context only."""
    values = {"status": wanted.status, "stuck": wanted.stuck, "before": before, "batch": batch}
    return (await session.execute(_LIST, values)).all()


async def finish_day(session: TenantSession, day: date, claim: UUID, report: dict[str, Any]) -> None:
    """Store the report of a day, while its claim is still ours; old reports are forgotten."""
    await session.execute(delete(ReconciliationRow).where(ReconciliationRow.day < day - _REPORTS_KEPT))
    await session.execute(
        update(ReconciliationRow)
        .where(ReconciliationRow.day == day, ReconciliationRow.claim == claim)
        .values(finished_at=func.clock_timestamp(), report=report)
    )
