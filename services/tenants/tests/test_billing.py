"""One Stripe customer and one subscription per tenant, whatever breaks in between."""

import asyncio
import random
from uuid import UUID

import pytest
from services.tenants.tests.test_sign_up import sign_up
from services.tenants.tests.world import Office, ScriptedAuth, ScriptedStripe

from common.context import SystemContext
from common.ids import Kind, to_text
from common.testing.harness import Harness
from tenants.billing import errand
from tenants.billing import service as service_of_billing
from tenants.billing.rules import GRACE
from tenants.billing.worker import Clerk


@pytest.fixture
async def tenant_id(service: Harness, office: Office, auth: ScriptedAuth, clerk: Clerk) -> UUID:
    _, made = await sign_up(service, office)
    await office.make_due(made)
    return made


async def test_a_tenant_gets_customer_and_subscription_and_everybody_hears(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID
) -> None:
    await clerk.work_on(tenant_id)
    ((customer, tenant, _),) = stripe.customers
    ((subscription, of, plan),) = stripe.subscriptions
    assert tenant == to_text(Kind.TENANT, tenant_id)
    assert (of, plan) == (customer, "penguinmails_starter_monthly")
    (event,) = await office.emitted(tenant_id, "SubscriptionChanged")
    assert (event["customer_id"], event["subscription_id"]) == (customer, subscription)
    assert event["version"] == 2
    assert (await office.steps(tenant_id))["billing"] == "done"
    assert stripe.lookups == 0, "before the first call nothing can be there"
    await clerk.work_on(tenant_id)
    assert len(await office.emitted(tenant_id, "SubscriptionChanged")) == 1


async def test_what_was_made_before_a_lost_answer_is_found_again(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID
) -> None:
    for _ in range(3):
        stripe.lose_answers = 1
        await clerk.work_on(tenant_id)
        await office.make_due(tenant_id)
    stripe.lose_answers = 0
    await clerk.work_on(tenant_id)
    assert len(stripe.customers) == len(stripe.subscriptions) == 1
    assert (await office.steps(tenant_id))["billing"] == "done"


async def test_keys_are_stored_before_the_call_and_the_same_each_time(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID
) -> None:
    tenant = to_text(Kind.TENANT, tenant_id)
    (row,) = await office.fetch("SELECT * FROM tenants.subscriptions WHERE tenant_id = $1", tenant_id)
    assert (row["customer_key"], row["subscription_key"]) == (f"{tenant}/customer", f"{tenant}/subscription")
    await clerk.work_on(tenant_id)
    assert stripe.keys == [row["customer_key"], row["subscription_key"]]


async def test_a_failure_shows_and_is_tried_again_later(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID
) -> None:
    stripe.failures = ["stripe_unreachable"]
    await clerk.work_on(tenant_id)
    (step,) = await office.fetch(
        "SELECT * FROM tenants.provisioning_steps WHERE tenant_id = $1 AND name = 'billing'", tenant_id
    )
    assert (step["status"], step["attempts"], step["error"]) == ("running", 1, "stripe_unreachable")
    await clerk.work_on(tenant_id)
    assert stripe.customers == [], "not before the delay is over"
    await office.make_due(tenant_id)
    await clerk.work_on(tenant_id)
    assert len(stripe.subscriptions) == 1
    assert (await office.steps(tenant_id))["billing"] == "done"


async def test_two_clerks_never_work_on_one_case(
    service: Harness, office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID
) -> None:
    clerks = [clerk, *(Clerk(service.kernel.database, stripe) for _ in range(5))]  # type: ignore[arg-type]
    await asyncio.gather(*(one.work_on(tenant_id) for one in clerks))
    assert len(stripe.customers) == len(stripe.subscriptions) == 1


async def test_the_claim_of_a_dead_process_runs_out_and_its_work_is_found(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID
) -> None:
    context = SystemContext(tenant_id, "job", "tenants")
    async with clerk.database.tenant(context) as session:
        case = await service_of_billing.claim(session)
        await session.commit()
    assert case is not None
    standing = await errand.mend(stripe, case, await errand.look(stripe, case))  # type: ignore[arg-type]
    await clerk.work_on(tenant_id)
    assert stripe.lookups == 0, "the claim still holds"
    await office.make_due(tenant_id)
    async with asyncio.timeout(60):  # claims are kept for a while after a start of the database
        while not stripe.lookups:
            await clerk.rounds.step()
    await clerk.rounds.finish()
    assert stripe.lookups == 1
    assert len(stripe.customers) == len(stripe.subscriptions) == 1
    async with clerk.database.tenant(context) as session:
        await service_of_billing.settle(session, case, standing, GRACE)
        await session.commit()
    assert len(await office.emitted(tenant_id, "SubscriptionChanged")) == 1, "an outdated claim tells nothing"


@pytest.mark.parametrize("seed", range(8))
async def test_any_mixture_of_failures_ends_in_one_of_each(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID, seed: int
) -> None:
    chance = random.Random(seed)
    while (await office.steps(tenant_id))["billing"] != "done":
        stripe.failures = ["api_error"] * chance.choice([0, 0, 1])
        stripe.lose_answers = chance.choice([0, 1])
        await office.make_due(tenant_id)
        await clerk.work_on(tenant_id)
    assert len(stripe.customers) == len(stripe.subscriptions) == 1


async def test_the_clerk_finds_due_tenants_by_itself(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, tenant_id: UUID
) -> None:
    async with asyncio.timeout(60):
        while not stripe.subscriptions:
            await clerk.rounds.step()
    await clerk.rounds.finish()
    assert (await office.steps(tenant_id))["billing"] == "done"
