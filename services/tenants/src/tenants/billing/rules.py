"""Pure rules of billing: prices, waits, and what follows from a subscription's status."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from common.contracts.tenants import Plan

CURRENCY = "usd"
TRIAL_DAYS = 14
"""A new tenant has no payment method yet; until the trial ends it needs none."""
LEASE = timedelta(seconds=15)
"""A claim this old belongs to a process that died."""
CALL_SECONDS = 10.0
"""All calls of one attempt; shorter than the lease, so that no two attempts ever overlap."""
GRACE = timedelta(days=7)
"""From a subscription that nobody pays for to its tenant's suspension; the settings may say otherwise."""
SECOND_LOOK = timedelta(minutes=1)
"""After a customer's id is stored: an event that came before that could not be told whose it is."""
_FIRST_DELAY = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(seconds=60)

Errand = Literal["none", "waiting", "under_way", "retired"]
Banner = Literal["past_due", "unpaid", "canceled"]

OVER = frozenset({"canceled", "incomplete_expired"})
"""Statuses in which a subscription has ended for good."""
_UNPAID = OVER | {"unpaid"}
_PAID = frozenset({"active", "trialing"})


@dataclass(frozen=True, slots=True)
class Price:
    """A plan as Stripe knows it. `amount` in cents a month."""

    product_id: str
    plan_id: str
    name: str
    amount: int


PRICES: dict[Plan, Price] = {
    "starter": Price("penguinmails_starter", "penguinmails_starter_monthly", "PenguinMails Starter", 2900),
    "professional": Price(
        "penguinmails_professional", "penguinmails_professional_monthly", "PenguinMails Professional", 9900
    ),
    "enterprise": Price(
        "penguinmails_enterprise", "penguinmails_enterprise_monthly", "PenguinMails Enterprise", 49900
    ),
}


def plan_of(price_id: str | None) -> Plan | None:
    """The plan with this price, or None when it is none of ours."""
    return next((plan for plan, price in PRICES.items() if price.plan_id == price_id), None)


def errand_of(is_claimed: bool, next_attempt_at: datetime | None) -> Errand:
    """Whether Stripe is to be asked about a tenant; `retired`: never again, the tenant is being deleted."""
    if is_claimed:
        return "retired" if next_attempt_at is None else "under_way"
    return "none" if next_attempt_at is None else "waiting"


def retry_delay(attempts: int) -> timedelta:
    """Pause after the failed attempt number `attempts` (from 1)."""
    return min(_FIRST_DELAY * 2 ** min(attempts - 1, 16), _LONGEST_DELAY)


def end_of_grace(
    status: str, suspend_at: datetime | None, now: datetime, grace: timedelta
) -> datetime | None:
    """When a tenant of this status is suspended; None: it is not.

    The period begins when the status is first seen. One that is neither paid nor given up (`past_due`)
    neither begins nor ends it.
    """
    if status in _PAID:
        return None
    return suspend_at or (now + grace if status in _UNPAID else None)


def must_suspend(status: str, suspend_at: datetime | None, now: datetime) -> bool:
    """Whether the grace period of an unpaid tenant is over."""
    return status in _UNPAID and suspend_at is not None and suspend_at <= now


def has_paid(status: str) -> bool:
    """Whether nothing is owed: the one state that lifts a suspension."""
    return status in _PAID


def banner_of(status: str) -> Banner | None:
    """What the owner must be told about the subscription, if anything."""
    if status in OVER:
        return "canceled"
    return cast(Banner, status) if status in ("past_due", "unpaid") else None
