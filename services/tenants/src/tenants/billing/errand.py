"""One errand to Stripe for one tenant: look at what is there, and mend it. Touches no database."""

from collections.abc import Sequence

from tenants.billing.drift import Drift, Seen, compare
from tenants.billing.gateway import Stripe
from tenants.billing.rules import PRICES
from tenants.billing.service import Case, Standing


async def look(stripe: Stripe, case: Case, others: Sequence[str] = ()) -> Drift:
    """What Stripe has for the tenant, compared with our row. `others`: more customers that carry its id."""
    if case.is_first:
        return compare(case.known, Seen())
    customers = await _customers(stripe, case, others)
    subscriptions = [
        subscription
        for customer_id in customers
        for subscription in await stripe.list_subscriptions(customer_id, case.tenant)
    ]
    return compare(case.known, Seen(customers, subscriptions))


async def _customers(stripe: Stripe, case: Case, others: Sequence[str]) -> list[str]:
    """The one we know; without it, all that have the owner's address."""
    customer_id = case.known.customer_id
    if customer_id is not None and await stripe.has_customer(customer_id):
        found = [customer_id]
    else:
        found = await stripe.list_customers(case.tenant, case.owner_email)
    return [*found, *(one for one in others if one not in (*found, customer_id))]


async def end(stripe: Stripe, case: Case) -> None:
    """Cancel all that the tenant is charged for, also what an attempt made that never told us."""
    if case.is_first:
        return
    drift = await look(stripe, case, await stripe.list_customers(case.tenant, case.owner_email))
    held = drift.subscription
    for subscription_id in (
        *([held.subscription_id] if held is not None and not held.is_over else ()),
        *drift.spare_subscriptions,
    ):
        await stripe.cancel_subscription(subscription_id)


async def mend(stripe: Stripe, case: Case, drift: Drift) -> Standing:
    """Bring Stripe to one customer with one subscription, on the plan that is to hold."""
    customer_id = drift.customer_id or await stripe.create_customer(
        case.tenant, case.owner_email, case.company_name, case.customer_key
    )
    for spare in drift.spare_subscriptions:
        await stripe.cancel_subscription(spare)
    for spare in drift.spare_customers:
        await stripe.delete_customer(spare)
    price = PRICES[drift.plan]
    held = drift.subscription or await stripe.create_subscription(
        customer_id, case.tenant, price, case.subscription_key
    )
    if drift.must_change_plan:
        held = await stripe.change_plan(held, price, f"{case.change_key}/{held.subscription_id}")
    return Standing(customer_id, held.subscription_id, drift.plan, held.status)
