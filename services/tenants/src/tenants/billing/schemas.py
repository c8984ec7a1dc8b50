"""Requests and answers."""

from typing import Annotated

from pydantic import Field

from common.contracts.tenants import Plan
from common.ids import TenantId
from common.schema import Answer, Body, Timestamp
from tenants.billing.rules import Banner
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
