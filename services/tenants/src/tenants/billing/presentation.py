"""A tenant's billing, and comparisons with Stripe, as operators see them."""

from typing import Any

from tenants.billing.rules import Errand, errand_of
from tenants.billing.schemas import BillingState, ReconciliationReport, ReconciliationRun
from tenants.models import ReconciliationRow, SubscriptionRow


def present(row: SubscriptionRow) -> BillingState:
    """One tenant's billing."""
    return _state(row, errand_of(row.claim is not None, row.next_attempt_at))


def summarise(row: Any) -> BillingState:
    """One tenant's billing as `queries.find_billing` reads it."""
    return _state(row, errand_of(row.is_claimed, row.next_attempt_at))


def _state(row: Any, errand: Errand) -> BillingState:
    return BillingState(
        tenant_id=row.tenant_id,
        plan=row.plan,
        wanted_plan=row.wanted_plan,
        status=row.status,
        customer_id=row.customer_id,
        subscription_id=row.subscription_id,
        suspends_at=row.suspend_at,
        errand=errand,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if errand == "waiting" else None,
        problem=row.problem,
    )


def present_run(row: ReconciliationRow) -> ReconciliationRun:
    """A comparison, with its report when it is finished."""
    return _run(row, None if row.report is None else ReconciliationReport.model_validate(row.report))


def summarise_run(row: ReconciliationRow) -> ReconciliationRun:
    """A comparison as `queries.list_reconciliations` reads it."""
    return _run(row, None if row.counts is None else ReconciliationReport(counts=row.counts, entries=[]))


def _run(row: ReconciliationRow, report: ReconciliationReport | None) -> ReconciliationRun:
    return ReconciliationRun(
        job_id=row.job_id,
        tenant_id=row.tenant_id if row.tenant_id.int else None,
        day=row.day,
        dry_run=row.dry_run,
        status="failed" if row.error else "done" if row.finished_at else "running" if row.claim else "queued",
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        error=row.error,
        report=report,
    )
