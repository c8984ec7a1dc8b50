"""Another plan: wished by the owner, sold by Stripe, and only then in force."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office, ScriptedStripe

from common.context import SystemContext
from common.ids import Kind, to_text
from common.testing.harness import Harness
from tenants.billing import service as billing
from tenants.billing.rules import PRICES
from tenants.billing.worker import Clerk


@pytest.fixture
async def company(service: Harness, office: Office, clerk: Clerk) -> Company:
    """With a running trial of the plan starter."""
    made = await found(service, "starter")
    await office.make_due(made.tenant.tenant_id)
    await clerk.work_on(made.tenant.tenant_id)
    return made


async def want(company: Company, plan: str, **rest: Any) -> dict[str, Any]:
    answer = await company.bill("POST", "/plan", json={"plan": plan}, **rest)
    assert answer.status_code == 202, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def plans(company: Company) -> tuple[str, str | None, int]:
    """In force, wanted, and the limit of users."""
    shown = (await company.subscription()).json()
    return shown["plan"], shown["wanted_plan"], shown["limits"]["max_users"]


def sold(stripe: ScriptedStripe) -> list[str]:
    return [price for _, _, price in stripe.subscriptions]


async def test_the_plan_holds_when_stripe_has_it_and_not_before(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    shown = await want(company, "professional")
    assert (shown["plan"], shown["wanted_plan"]) == ("starter", "professional")
    assert shown["limits"]["max_users"] == 3
    assert sold(stripe) == [PRICES["starter"].plan_id], "nobody asks Stripe inside the request"
    assert await office.emitted(tenant_id, "TenantPlanChanged") == []
    key = (await office.subscription(tenant_id))["plan_key"]
    await clerk.work_on(tenant_id)
    assert await plans(company) == ("professional", None, 5)
    assert sold(stripe) == [PRICES["professional"].plan_id]
    ((subscription, _, _),) = stripe.subscriptions
    assert stripe.keys[-1] == f"{key}/{subscription}", "the key was stored before the call"
    (changed,) = await office.emitted(tenant_id, "TenantPlanChanged")
    told = await office.emitted(tenant_id, "SubscriptionChanged")
    assert [event["plan"] for event in told] == ["starter", "professional"]
    assert changed["version"] < told[-1]["version"]


async def test_the_change_is_done_in_the_name_of_who_wanted_it(
    company: Company, office: Office, clerk: Clerk
) -> None:
    await want(company, "professional")
    await clerk.work_on(company.tenant.tenant_id)
    rows = await office.fetch(
        "SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND type LIKE '%.TenantPlanChanged.%'",
        company.tenant.tenant_id,
    )
    assert to_text(Kind.USER, company.tenant.owner_id) in rows[0]["data"]


async def test_each_wish_is_told_once_with_who_made_it(company: Company, office: Office) -> None:
    for plan in ("professional", "professional", "enterprise"):
        await want(company, plan)
    told = await office.emitted(company.tenant.tenant_id, "PlanChangeRequested")
    owner = to_text(Kind.USER, company.tenant.owner_id)
    assert [(one["plan"], one["meta"]["actor"]["id"]) for one in told] == [
        ("professional", owner),
        ("enterprise", owner),
    ]


@pytest.mark.parametrize("losses", [1, 2, 3])
async def test_an_answer_that_is_lost_changes_the_plan_once(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe, losses: int
) -> None:
    tenant_id = company.tenant.tenant_id
    await want(company, "enterprise")
    stripe.lose_answers = losses
    for _ in range(losses + 1):
        await clerk.work_on(tenant_id)
        await office.make_due(tenant_id)
    stripe.lose_answers = 0
    await clerk.work_on(tenant_id)
    assert stripe.changes == [PRICES["enterprise"].plan_id]
    assert await plans(company) == ("enterprise", None, 1000)
    assert len(await office.emitted(tenant_id, "TenantPlanChanged")) == 1


async def test_a_process_killed_between_the_answer_and_the_commit_is_made_up_for(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    await want(company, "enterprise")
    case = await clerk.claim(tenant_id)
    assert case is not None
    ((subscription, _, _),) = stripe.subscriptions
    await stripe.change_plan(stripe.held[subscription], PRICES["enterprise"], "of the dead")
    await office.make_due(tenant_id)
    async with asyncio.timeout(60):  # claims are kept for a while after a start of the database
        while (await plans(company))[0] != "enterprise":
            await clerk.rounds.step()
    await clerk.rounds.finish()
    assert len(stripe.changes) == 1


async def test_a_wish_during_an_attempt_is_granted_after_it(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    await want(company, "professional")
    case = await clerk.claim(tenant_id)
    assert case is not None
    await want(company, "enterprise")
    assert await clerk.claim(tenant_id) is None, "the claim still holds"
    await clerk.attend(case)
    assert await plans(company) == ("professional", "enterprise", 5)
    await clerk.work_on(tenant_id)
    assert await plans(company) == ("enterprise", None, 1000)


async def test_a_wish_taken_back_under_way_ends_where_it_began(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    await want(company, "professional")
    case = await clerk.claim(tenant_id)
    assert case is not None
    await want(company, "starter")
    await clerk.attend(case)
    await clerk.work_on(tenant_id)
    assert await plans(company) == ("starter", None, 3)
    assert sold(stripe) == [PRICES["starter"].plan_id]


async def test_wanting_what_is_so_changes_nothing(
    company: Company, office: Office, stripe: ScriptedStripe
) -> None:
    shown = await want(company, "starter")
    assert shown["wanted_plan"] is None
    row = await office.subscription(company.tenant.tenant_id)
    assert (row["plan_key"], row["wanted_by"]) == (None, None)


async def test_the_same_key_is_one_wish(company: Company, office: Office) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first = await want(company, "professional", headers=headers)
    key = (await office.subscription(company.tenant.tenant_id))["plan_key"]
    assert await want(company, "professional", headers=headers) == first
    assert (await office.subscription(company.tenant.tenant_id))["plan_key"] == key


async def test_fifty_wishes_at_once_end_in_one_plan_on_both_sides(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    wanted = ["starter", "professional", "enterprise"]
    asked = (company.bill("POST", "/plan", json={"plan": wanted[number % 3]}) for number in range(50))
    answers = await asyncio.gather(*asked, *(clerk.work_on(company.tenant.tenant_id) for _ in range(10)))
    assert {answer.status_code for answer in answers[:50] if answer is not None} == {202}
    await office.make_due(company.tenant.tenant_id)
    for _ in range(2):
        await clerk.work_on(company.tenant.tenant_id)
        await office.make_due(company.tenant.tenant_id)
    plan, waiting, _ = await plans(company)
    assert waiting is None
    assert sold(stripe) == [PRICES[plan].plan_id]  # type: ignore[index]


async def test_a_wish_before_the_first_subscription_is_what_is_bought(
    service: Harness, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    company = await found(service, "starter")
    await want(company, "enterprise")
    await clerk.work_on(company.tenant.tenant_id)
    assert sold(stripe) == [PRICES["enterprise"].plan_id]
    assert await plans(company) == ("enterprise", None, 1000)


async def test_a_wish_for_a_subscription_that_ended_waits_for_the_next_one(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    ((subscription, customer, _),) = stripe.subscriptions
    stripe.change(subscription, status="canceled")
    await want(company, "professional")
    await clerk.work_on(tenant_id)
    assert await plans(company) == ("starter", "professional", 3)
    tenant = to_text(Kind.TENANT, tenant_id)
    page = (await company.bill("POST", "/portal")).json()["url"]
    assert page.endswith(PRICES["professional"].plan_id)
    await stripe.create_subscription(customer, tenant, PRICES["professional"], "checkout")
    await office.make_due(tenant_id)
    await clerk.work_on(tenant_id)
    assert await plans(company) == ("professional", None, 5)


@pytest.mark.parametrize("body", [{}, {"plan": "free"}, {"plan": None}, {"plan": "starter", "price": 1}])
async def test_other_wishes_are_refused(company: Company, body: dict[str, Any]) -> None:
    assert (await company.bill("POST", "/plan", json=body)).status_code == 422


@pytest.mark.parametrize(("method", "path"), [("POST", "/plan"), ("POST", "/portal"), ("GET", "/invoices")])
async def test_only_the_owner_may(company: Company, method: str, path: str) -> None:
    for role in ("admin", "member"):
        _, token = await company.service.make_user(company.tenant, role)  # type: ignore[arg-type]
        body = {"json": {"plan": "professional"}} if path == "/plan" else {}
        answer = await company.bill(method, path, token, **body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_plan_changed_at_stripe_holds_here_too(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    ((subscription, _, _),) = stripe.subscriptions
    stripe.change(subscription, price_id=PRICES["enterprise"].plan_id)
    await office.make_due(company.tenant.tenant_id)
    await clerk.work_on(company.tenant.tenant_id)
    assert await plans(company) == ("enterprise", None, 1000)
    assert stripe.changes == []


async def test_an_outdated_claim_changes_no_plan(company: Company, office: Office, clerk: Clerk) -> None:
    await want(company, "professional")
    case = await clerk.claim(company.tenant.tenant_id)
    assert case is not None
    await office.fetch(
        "UPDATE tenants.subscriptions SET claim = gen_random_uuid() WHERE tenant_id = $1",
        company.tenant.tenant_id,
    )
    await clerk.attend(case)
    assert (await plans(company))[0] == "starter"


async def test_billing_of_a_tenant_without_any_is_not_found(service: Harness) -> None:
    tenant = await service.make_tenant()
    for method, path, body in (
        ("POST", "/plan", {"plan": "starter"}),
        ("POST", "/portal", None),
        ("GET", "/invoices", None),
    ):
        answer = await service.client.request(
            method, f"/api/v1/billing{path}", headers=tenant.headers, json=body
        )
        assert answer.status_code == 404, path


async def test_the_clerk_reads_the_wish_it_claims(company: Company, clerk: Clerk) -> None:
    await want(company, "professional")
    tenant_id: UUID = company.tenant.tenant_id
    async with clerk.database.tenant(SystemContext(tenant_id, "job", "tenants")) as session:
        case = await billing.read(session)
    assert (case.known.plan, case.known.wanted_plan) == ("starter", "professional")
