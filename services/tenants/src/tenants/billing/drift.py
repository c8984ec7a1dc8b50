"""Pure comparison of a tenant's row with what Stripe has, and what is to be done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from common.contracts.tenants import Plan
from tenants.billing.rules import OVER, plan_of

Finding = Literal[
    "customer_missing",
    "customer_duplicate",
    "customer_differs_here",
    "subscription_missing",
    "subscription_duplicate",
    "subscription_differs_here",
    "plan_differs_there",
    "plan_differs_here",
    "status_differs_here",
]
"""What did not agree. `…_missing`, `…_duplicate` and `plan_differs_there` are mended at Stripe, the others
in our row. A plan that the owner wants differs on both sides until Stripe has it."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A tenant's subscription as Stripe has it."""

    subscription_id: str
    customer_id: str
    status: str
    price_id: str
    item_id: str

    @property
    def is_over(self) -> bool:
        return self.status in OVER


@dataclass(frozen=True, slots=True)
class Known:
    """What our row says. `wanted_plan`: what Stripe is to have instead of `plan`."""

    customer_id: str | None
    subscription_id: str | None
    plan: Plan
    status: str
    wanted_plan: Plan | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What Stripe has under the tenant's id, oldest first."""

    customers: Sequence[str] = ()
    subscriptions: Sequence[Subscription] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """What is to be kept at Stripe and ended there; None: to be made.

    `plan` is the one that is to hold. `vanished`: what we had the ids of is gone, so it must be made anew,
    under new keys.
    """

    customer_id: str | None
    subscription: Subscription | None
    plan: Plan
    spare_customers: Sequence[str]
    spare_subscriptions: Sequence[str]
    vanished: bool

    @property
    def must_change_plan(self) -> bool:
        """Whether Stripe has the subscription on another plan than it is to have."""
        held = self.subscription
        return held is not None and not held.is_over and plan_of(held.price_id) != self.plan


def compare(known: Known, seen: Seen) -> Drift:
    """Compare, preferring what our row names, then what is older.

    A plan that the owner wants goes before Stripe's; Stripe's goes before ours, because it is what is paid
    for; a price that is none of ours is put back to our plan. A subscription that ended is not made again:
    the tenant has to want that.
    """
    held = min(seen.subscriptions, key=lambda one: _rank(known, one), default=None)
    customer_id = held.customer_id if held else _customer(known, seen)
    return Drift(
        customer_id=customer_id,
        subscription=held,
        plan=_plan(known, held),
        spare_customers=[one for one in seen.customers if one != customer_id],
        spare_subscriptions=[
            one.subscription_id for one in seen.subscriptions if not one.is_over and one is not held
        ],
        vanished=(known.customer_id is not None and customer_id is None)
        or (known.subscription_id is not None and held is None),
    )


def _rank(known: Known, one: Subscription) -> tuple[bool, bool, bool]:
    """Least for the subscription that counts: a live one before one that ended."""
    return one.is_over, one.subscription_id != known.subscription_id, one.customer_id != known.customer_id


def _customer(known: Known, seen: Seen) -> str | None:
    if known.customer_id in seen.customers:
        return known.customer_id
    return next(iter(seen.customers), None)


def _plan(known: Known, held: Subscription | None) -> Plan:
    if held is not None and held.is_over:
        return known.plan
    sold = plan_of(held.price_id) if held is not None else None
    return known.wanted_plan or sold or known.plan


def findings_of(known: Known, drift: Drift) -> list[Finding]:
    """What does not agree."""
    held = drift.subscription
    differs: dict[Finding, bool] = {
        "customer_missing": drift.customer_id is None,
        "customer_differs_here": drift.customer_id not in (None, known.customer_id),
        "customer_duplicate": bool(drift.spare_customers),
        "subscription_missing": held is None,
        "subscription_duplicate": bool(drift.spare_subscriptions),
        "subscription_differs_here": held is not None and held.subscription_id != known.subscription_id,
        "status_differs_here": held is not None and held.status != known.status,
        "plan_differs_there": drift.must_change_plan,
        "plan_differs_here": held is not None and drift.plan != known.plan,
    }
    return [name for name, true in differs.items() if true]
