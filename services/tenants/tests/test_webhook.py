"""What Stripe tells: only if Stripe says it, once, in any order, and about one tenant."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe as sdk
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import WEBHOOK_SECRET, Office, ScriptedStripe

from common.testing.harness import Harness
from tenants.billing.rules import PRICES
from tenants.billing.worker import Clerk
from tenants.webhook.worker import Reader

PATH = "/api/v1/webhooks/stripe"


def event(
    customer: str | None, kind: str = "customer.subscription.updated", **changes: Any
) -> dict[str, Any]:
    subject = {"object": "subscription", "id": "sub_x", "status": "what it says is not believed"}
    subject |= {"customer": customer} if customer else {}
    told = {"object": "event", "id": f"evt_{uuid4().hex}", "type": kind, "data": {"object": subject}}
    return told | changes


def signature(body: str, secret: str = WEBHOOK_SECRET, age: float = 0) -> str:
    return sdk.WebhookSignature.generate_signature_header(body, secret, int(time.time() - age))


@pytest.fixture
def reader(service: Harness, clerk: Clerk) -> Reader:
    return Reader(service.kernel.database)


@pytest.fixture
async def company(service: Harness, office: Office, clerk: Clerk) -> Company:
    await office.fetch("DELETE FROM tenants.stripe_events")
    return await subscribed(service, office, clerk)


async def subscribed(service: Harness, office: Office, clerk: Clerk) -> Company:
    made = await found(service, "starter")
    await office.make_due(made.tenant.tenant_id)
    await clerk.work_on(made.tenant.tenant_id)
    await office.close_all_cases()
    return made


async def send(service: Harness, body: str | bytes, header: str | None) -> httpx.Response:
    headers = {"Stripe-Signature": header.encode("latin-1")} if header is not None else {}
    return await service.client.post(PATH, content=body, headers=headers)


async def tell(service: Harness, told: dict[str, Any]) -> None:
    body = json.dumps(told)
    answer = await send(service, body, signature(body))
    assert answer.status_code == 200, answer.text


async def take_in(reader: Reader, clerk: Clerk, office: Office) -> None:
    """What the two workers do until there is nothing left."""
    async with asyncio.timeout(60):
        while await office.fetch("SELECT FROM tenants.stripe_events WHERE handled_at IS NULL"):
            await reader.rounds.step()
    await reader.rounds.finish()
    async with asyncio.timeout(60):
        while await office.fetch("SELECT FROM tenants.subscriptions WHERE next_attempt_at <= now()"):
            await clerk.rounds.step()
    await clerk.rounds.finish()


async def outcomes(office: Office) -> dict[str, str]:
    rows = await office.fetch("SELECT event_id, outcome FROM tenants.stripe_events")
    return {row["event_id"]: row["outcome"] for row in rows}


async def test_an_event_is_a_reason_to_look_and_what_it_says_is_not_believed(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, stripe: ScriptedStripe, company: Company
) -> None:
    ((subscription, customer, _),) = stripe.subscriptions
    stripe.change(subscription, status="past_due")
    told = event(customer)
    calls = stripe.calls
    await tell(service, told)
    assert stripe.calls == calls, "the answer does not wait for Stripe"
    await take_in(reader, clerk, office)
    assert (await company.subscription()).json()["status"] == "past_due"
    assert await outcomes(office) == {told["id"]: "looked"}


ALTERATIONS: dict[str, Callable[[str], tuple[str | bytes, str | None]]] = {
    "no signature": lambda body: (body, None),
    "an empty one": lambda body: (body, ""),
    "garbage": lambda body: (body, "t=abc,v1="),
    "not even ASCII": lambda body: (body, f"t={int(time.time())},v1=é"),
    "of another secret": lambda body: (body, signature(body, "whsec_of_somebody_else")),
    "of another scheme": lambda body: (body, signature(body).replace("v1=", "v0=")),
    "too old": lambda body: (body, signature(body, age=301)),
    "of another time": lambda body: (body, signature(body, age=9).replace("t=", "t=1")),
    "a byte more": lambda body: (f"{body} ", signature(body)),
    "another customer": lambda body: (body.replace("cus_", "cus_9"), signature(body)),
    "the same, spelt otherwise": lambda body: (json.dumps(json.loads(body), indent=1), signature(body)),
    "not UTF-8": lambda body: (body.encode() + b"\xff", signature(body)),
    "nothing": lambda body: ("", signature(body)),
    "NUL bytes": lambda body: (b"\x00" * 100, signature(body)),
}


@pytest.mark.parametrize("how", ALTERATIONS)
async def test_what_stripe_did_not_sign_is_refused(
    service: Harness, office: Office, company: Company, how: str
) -> None:
    body, header = ALTERATIONS[how](json.dumps(event("cus_1")))
    answer = await send(service, body, header)
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_invalid")
    assert await outcomes(office) == {}


@pytest.mark.parametrize(
    "told",
    [
        [],
        "text",
        None,
        {},
        event(None, id="evt_\x00"),
        event(None, id=7),
        event(None, id="evt_" + "x" * 300),
        event(None, type="a\x00b"),
        event(None, data={}),
        event(None, data=None),
        event(None, object="v2.core.event"),
    ],
)
async def test_what_is_signed_and_no_event_is_refused(
    service: Harness, office: Office, company: Company, told: Any
) -> None:
    body = json.dumps(told)
    answer = await send(service, body, signature(body))
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_invalid")
    assert await outcomes(office) == {}


async def test_a_body_beyond_the_limit_is_not_read(service: Harness, company: Company) -> None:
    for size, status in ((1024 * 1024, 400), (1024 * 1024 + 1, 413)):
        answer = await send(service, b"x" * size, signature("x"))
        assert answer.status_code == status


async def test_the_same_event_fifty_times_at_once_is_one(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, stripe: ScriptedStripe, company: Company
) -> None:
    ((subscription, customer, _),) = stripe.subscriptions
    stripe.change(subscription, status="active")
    told = event(customer)
    await asyncio.gather(*(tell(service, told) for _ in range(50)))
    await take_in(reader, clerk, office)
    assert await outcomes(office) == {told["id"]: "looked"}
    changes = await office.emitted(company.tenant.tenant_id, "SubscriptionChanged")
    assert [change["status"] for change in changes] == ["trialing", "active"]
    calls = stripe.calls
    await tell(service, told)
    await take_in(reader, clerk, office)
    assert stripe.calls == calls, "told again, it is no reason any more"


async def test_the_order_of_events_does_not_matter(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, stripe: ScriptedStripe, company: Company
) -> None:
    ((subscription, customer, _),) = stripe.subscriptions
    stripe.change(subscription, status="active", price_id=PRICES["enterprise"].plan_id)
    kinds = ("invoice.paid", "customer.subscription.updated", "customer.subscription.created")
    for kind in kinds:
        await tell(service, event(customer, kind))
        await take_in(reader, clerk, office)
    shown = (await company.subscription()).json()
    assert (shown["status"], shown["plan"]) == ("active", "enterprise")
    assert len(await office.emitted(company.tenant.tenant_id, "SubscriptionChanged")) == 2


async def test_unknown_types_and_customers_are_recorded_and_left(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, stripe: ScriptedStripe, company: Company
) -> None:
    strange, foreign = event(None, "radar.early_fraud_warning.created"), event("cus_of_nobody")
    odd = event(None, data={"object": {"object": "invoice", "customer": {"no": "id"}}})
    broken = event(None, data={"object": {"object": "invoice", "customer": "cus_\x00"}})
    calls = stripe.calls
    for told in (strange, foreign, odd, broken):
        await tell(service, told)
    await take_in(reader, clerk, office)
    assert await outcomes(office) == {
        strange["id"]: "ignored",
        foreign["id"]: "unknown_customer",
        odd["id"]: "ignored",
        broken["id"]: "ignored",
    }
    assert stripe.calls == calls


async def test_an_event_of_one_tenant_touches_no_other(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, stripe: ScriptedStripe, company: Company
) -> None:
    """Not even one that names the other tenant: only our own row says whose a customer is."""
    other = await subscribed(service, office, clerk)
    (_, mine, _), (_, theirs, _) = stripe.subscriptions
    for subscription, _, _ in stripe.subscriptions:
        stripe.change(subscription, status="past_due")
    told = event(mine)
    told["data"]["object"]["metadata"] = {"tenant_id": other.url.rpartition("/")[2]}
    await tell(service, told)
    await take_in(reader, clerk, office)
    assert (await company.subscription()).json()["status"] == "past_due"
    assert (await other.subscription()).json()["status"] == "trialing"
    await office.fetch(
        "UPDATE tenants.subscriptions SET customer_id = $1 WHERE customer_id = $2", mine, theirs
    )
    ambiguous = event(mine)
    await tell(service, ambiguous)
    await take_in(reader, clerk, office)
    assert (await outcomes(office))[ambiguous["id"]] == "unknown_customer", "whose it is, nobody can say"


async def test_a_customer_is_known_by_its_own_events_and_by_expanded_ones(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, stripe: ScriptedStripe, company: Company
) -> None:
    ((_, customer, _),) = stripe.subscriptions
    own = event(None, data={"object": {"object": "customer", "id": customer}})
    expanded = event(
        None, data={"object": {"object": "invoice", "customer": {"object": "customer", "id": customer}}}
    )
    for told in (own, expanded):
        await tell(service, told)
    await take_in(reader, clerk, office)
    assert await outcomes(office) == {own["id"]: "looked", expanded["id"]: "looked"}


async def test_an_event_during_an_attempt_is_a_reason_for_another_after_it(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, stripe: ScriptedStripe, company: Company
) -> None:
    tenant_id = company.tenant.tenant_id
    ((subscription, customer, _),) = stripe.subscriptions
    await office.make_due(tenant_id)
    case = await clerk.claim(tenant_id)
    assert case is not None
    await tell(service, event(customer))
    await reader.read_batch(office.platform)
    await clerk.attend(case)
    stripe.change(subscription, status="past_due")
    await clerk.work_on(tenant_id)
    assert (await company.subscription()).json()["status"] == "past_due"


async def test_events_are_forgotten_when_stripe_tells_them_no_more(
    service: Harness, office: Office, clerk: Clerk, reader: Reader, company: Company
) -> None:
    old, new = event(None), event(None)
    for told in (old, new):
        await tell(service, told)
    await take_in(reader, clerk, office)
    await office.fetch(
        "UPDATE tenants.stripe_events SET received_at = now() - interval '46 days' WHERE event_id = $1",
        old["id"],
    )
    await reader.read_batch(office.platform)
    assert (await outcomes(office)).keys() == {new["id"]}
