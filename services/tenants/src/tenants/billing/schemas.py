"""Requests and answers."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StrictBool

from common.contracts.tenants import Plan
from common.ids import JobId, TenantId
from common.schema import Answer, Body, Timestamp
from tenants.billing.rules import Banner, Errand
from tenants.tenant.schemas import LimitSettings


class Subscription(Answer):
    """`status` is Stripe's own; `pending` until the subscription stands there.

    `plan` and `limits` hold now. `wanted_plan` is what the owner asked for and Stripe has not confirmed yet:
    null again as soon as it has, with `plan` and `limits` following in the same moment. `banner` says what
    the owner must be told, if anything; `suspends_at` when the tenant is suspended unless it pays before,
    or since when it is.
    """

    tenant_id: TenantId
    plan: str
    wanted_plan: str | None
    status: str
    banner: Banner | None
    suspends_at: Timestamp | None
    limits: LimitSettings
    created_at: Timestamp


class BillingState(Answer):
    """A tenant's billing for operators. `errand`: whether Stripe is to be asked about it, is being asked, or
    will not be again (`retired`); `problem`: what stood in the last attempt's way."""

    tenant_id: TenantId
    plan: str
    wanted_plan: str | None
    status: str
    customer_id: str | None
    subscription_id: str | None
    suspends_at: Timestamp | None
    errand: Errand
    attempts: int
    next_attempt_at: Timestamp | None
    problem: str | None


class ReconciliationOrder(Body):
    """`dry_run`: only compare; change nothing."""

    dry_run: StrictBool = False


class ReconciliationEntry(Answer):
    """What came of one tenant, or of a customer at Stripe that belongs to none."""

    result: str
    tenant_id: str | None
    customer_id: str | None
    findings: list[str]
    error: str | None


class ReconciliationReport(Answer):
    """How many of each result, and the first of those that did not agree (in lists of runs: none of them)."""

    counts: dict[str, int]
    entries: list[ReconciliationEntry]


class ReconciliationRun(Answer):
    """`tenant_id`: of whom, null: of all; `day`: of the daily ones; `failed`: see `error`: a code of
    Stripe's client, `no_billing`, or `gave_up` after three processes have died at it."""

    job_id: JobId
    tenant_id: TenantId | None
    day: date | None = Field(examples=["2026-11-22"])
    dry_run: bool
    status: Literal["queued", "running", "done", "failed"]
    requested_at: Timestamp
    finished_at: Timestamp | None
    error: str | None
    report: ReconciliationReport | None


class PlanChange(Body):
    plan: Annotated[Plan, Field(examples=["enterprise"])]


class Portal(Answer):
    """A page at Stripe, good for a few minutes and for the one who asked."""

    url: str


class Invoice(Answer):
    """Amounts in cents of `currency`; `status` is Stripe's own; `url`: the invoice's page at Stripe."""

    invoice_id: Annotated[str, Field(examples=["in_1PWkRyLkdIwHu7ixhBqMkLaF"])]
    number: str | None
    status: str
    currency: str
    amount_due: int
    amount_paid: int
    created_at: Timestamp
    url: str | None
