"""What is kept, ended and made at Stripe: pure, and whatever there is to begin with."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.tenants import Plan
from tenants.billing.drift import Drift, Known, Seen, Subscription, compare, findings_of
from tenants.billing.rules import PRICES

STATUSES = ("trialing", "active", "past_due", "unpaid", "incomplete", "canceled", "incomplete_expired")
PLANS: tuple[Plan, ...] = ("starter", "professional", "enterprise")


def subscription(
    number: int = 1, customer: str = "cus_1", status: str = "active", price: str = ""
) -> Subscription:
    price = price or PRICES["starter"].plan_id
    return Subscription(f"sub_{number}", customer, status, price, f"si_{number}")


KNOWN = Known("cus_1", "sub_1", "starter", "active", None)
SEEN = Seen(("cus_1",), (subscription(),))


def found(known: Known, seen: Seen) -> set[str]:
    return set(findings_of(known, compare(known, seen)))


def test_what_agrees_is_left_alone() -> None:
    assert found(KNOWN, SEEN) == set()
    assert not compare(KNOWN, SEEN).vanished


@pytest.mark.parametrize(
    ("known", "seen", "expected"),
    [
        (KNOWN, Seen(), {"customer_missing", "subscription_missing"}),
        (KNOWN, Seen(("cus_1",)), {"subscription_missing"}),
        (KNOWN, Seen(("cus_1", "cus_2"), (subscription(),)), {"customer_duplicate"}),
        (KNOWN, Seen(("cus_1",), (subscription(), subscription(2))), {"subscription_duplicate"}),
        (KNOWN, Seen(("cus_1",), (subscription(status="past_due"),)), {"status_differs_here"}),
        (
            KNOWN,
            Seen(("cus_1",), (subscription(price=PRICES["enterprise"].plan_id),)),
            {"plan_differs_here"},
        ),
        (KNOWN, Seen(("cus_1",), (subscription(price="price_of_somebody"),)), {"plan_differs_there"}),
        (
            replace(KNOWN, wanted_plan="professional"),
            SEEN,
            {"plan_differs_there", "plan_differs_here"},
        ),
        (replace(KNOWN, customer_id="cus_9"), SEEN, {"customer_differs_here"}),
        (replace(KNOWN, subscription_id="sub_9"), SEEN, {"subscription_differs_here"}),
    ],
)
def test_each_difference_is_found(known: Known, seen: Seen, expected: set[str]) -> None:
    assert found(known, seen) == expected


def test_a_price_of_ours_is_believed_and_another_is_put_back() -> None:
    sold = compare(KNOWN, Seen(("cus_1",), (subscription(price=PRICES["enterprise"].plan_id),)))
    assert (sold.plan, sold.must_change_plan) == ("enterprise", False)
    strange = compare(KNOWN, Seen(("cus_1",), (subscription(price="price_of_somebody"),)))
    assert (strange.plan, strange.must_change_plan) == ("starter", True)


def test_a_subscription_that_ended_is_not_made_again_but_gives_way_to_a_new_one() -> None:
    ended = compare(KNOWN, Seen(("cus_1",), (subscription(status="canceled"),)))
    assert ended.subscription is not None
    assert (ended.subscription.status, ended.vanished, ended.plan) == ("canceled", False, "starter")
    bought = compare(KNOWN, Seen(("cus_1",), (subscription(status="canceled"), subscription(2))))
    assert bought.subscription is not None
    assert (bought.subscription.subscription_id, bought.spare_subscriptions) == ("sub_2", [])


def test_what_had_ids_and_is_gone_is_made_under_new_keys() -> None:
    assert compare(KNOWN, Seen()).vanished
    assert compare(KNOWN, Seen(("cus_1",))).vanished
    new = replace(KNOWN, customer_id=None, subscription_id=None)
    assert not compare(new, Seen()).vanished
    assert not compare(new, Seen(("cus_1",))).vanished


customers = st.sampled_from(["cus_1", "cus_2", "cus_3"])
prices = st.sampled_from([*(price.plan_id for price in PRICES.values()), "price_of_somebody"])
subscriptions = st.builds(subscription, st.integers(1, 4), customers, st.sampled_from(STATUSES), prices)
worlds = st.builds(
    lambda cus, subs: Seen(
        tuple(dict.fromkeys(cus)),
        tuple({s.subscription_id: s for s in subs if s.customer_id in cus}.values()),
    ),
    st.lists(customers, max_size=3),
    st.lists(subscriptions, max_size=4),
)
knowns = st.builds(
    Known,
    st.none() | customers,
    st.none() | st.sampled_from(["sub_1", "sub_2", "sub_9"]),
    st.sampled_from(PLANS),
    st.sampled_from(["pending", *STATUSES]),
    st.none() | st.sampled_from(PLANS),
)


def mended(known: Known, seen: Seen, drift: Drift) -> tuple[Known, Seen]:
    """Both sides after what `errand.mend` and `service.settle` do, or `service.forget`."""
    if drift.vanished:
        return replace(known, customer_id=None, subscription_id=None), seen
    customer = drift.customer_id or "cus_new"
    held = drift.subscription or subscription(99, customer, "trialing", PRICES[drift.plan].plan_id)
    if drift.must_change_plan:
        held = replace(held, price_id=PRICES[drift.plan].plan_id)
    ended = tuple(
        replace(one, status="canceled")
        for one in seen.subscriptions
        if (one.customer_id == customer and one.is_over) or one.subscription_id in drift.spare_subscriptions
    )
    ended = tuple(
        one for one in ended if one.customer_id == customer and one.subscription_id != held.subscription_id
    )
    wanted = None if known.wanted_plan == drift.plan else known.wanted_plan
    after = Known(customer, held.subscription_id, drift.plan, held.status, wanted)
    return after, Seen((customer,), (held, *ended))


@given(knowns, worlds)
def test_two_attempts_bring_any_two_sides_together(known: Known, seen: Seen) -> None:
    for _ in range(2):
        known, seen = mended(known, seen, compare(known, seen))
    assert findings_of(known, compare(known, seen)) == []
    assert len(seen.customers) == 1
    assert len([one for one in seen.subscriptions if not one.is_over]) <= 1
