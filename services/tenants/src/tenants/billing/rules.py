"""Pure rules of billing: prices, and how long to wait after a failure."""

from dataclasses import dataclass
from datetime import timedelta

from common.contracts.tenants import Plan

CURRENCY = "usd"
TRIAL_DAYS = 14
"""A new tenant has no payment method yet; until the trial ends it needs none."""
LEASE = timedelta(seconds=15)
"""A claim this old belongs to a process that died."""
CALL_SECONDS = 10.0
"""All calls of one attempt; shorter than the lease, so that no two attempts ever overlap."""
_FIRST_DELAY = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(seconds=60)


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


def retry_delay(attempts: int) -> timedelta:
    """Pause after the failed attempt number `attempts` (from 1)."""
    return min(_FIRST_DELAY * 2 ** min(attempts - 1, 16), _LONGEST_DELAY)
