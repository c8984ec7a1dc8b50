"""Billing compared with Stripe for every tenant, mended both ways, and reported."""

import asyncio
from datetime import date, timedelta
from uuid import UUID

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office, ScriptedStripe

from common.context import SystemContext
from common.errors import NotFound
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness
from tenants.billing.drift import Subscription
from tenants.billing.reconciliation import Calendar, Entry, Reconciliation
from tenants.billing.rules import PRICES
from tenants.billing.service import retire
from tenants.billing.worker import Clerk

PRICE = PRICES["starter"]


@pytest.fixture
async def company(service: Harness, office: Office, clerk: Clerk) -> Company:
    """The only tenant with billing, with a running trial."""
    await office.fetch("DELETE FROM tenants.subscriptions")
    await office.fetch("DELETE FROM tenants.reconciliations")
    return await subscribed(service, office, clerk)


async def subscribed(service: Harness, office: Office, clerk: Clerk) -> Company:
    made = await found(service, "starter")
    await office.make_due(made.tenant.tenant_id)
    await clerk.work_on(made.tenant.tenant_id)
    return made


def name(company: Company) -> str:
    return to_text(Kind.TENANT, company.tenant.tenant_id)


async def reconcile(clerk: Clerk, *, dry_run: bool = False) -> dict[str, tuple[str, set[str]]]:
    """Result and findings by tenant or customer; twice: then all that could be mended must agree."""
    first = [entry async for entry in Reconciliation(clerk, dry_run=dry_run).run()]
    if not dry_run:
        again = [entry async for entry in Reconciliation(clerk).run()]
        assert {entry.result for entry in again} <= {"agrees", "orphan"}
    return {str(entry.customer_id or entry.tenant_id): (entry.result, set(entry.findings)) for entry in first}


async def state(office: Office, tenant_id: UUID) -> tuple[str, ...]:
    row = await office.subscription(tenant_id)
    return row["customer_id"], row["subscription_id"], row["plan"], row["status"]


async def test_what_agrees_is_left_alone(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    before = await state(office, company.tenant.tenant_id)
    assert await reconcile(clerk) == {name(company): ("agrees", set())}
    assert await state(office, company.tenant.tenant_id) == before
    assert len(await office.emitted(company.tenant.tenant_id, "SubscriptionChanged")) == 1
    assert len(stripe.keys) == 2


def spoil_customer(stripe: ScriptedStripe) -> None:
    stripe.lose_customer(stripe.customers[0][0])


def spoil_subscription(stripe: ScriptedStripe) -> None:
    stripe.held.clear()


def spoil_status(stripe: ScriptedStripe) -> None:
    stripe.change(stripe.subscriptions[0][0], status="past_due")


def spoil_plan_there(stripe: ScriptedStripe) -> None:
    stripe.change(stripe.subscriptions[0][0], price_id="price_of_somebody")


def spoil_plan_here(stripe: ScriptedStripe) -> None:
    stripe.change(stripe.subscriptions[0][0], price_id=PRICES["enterprise"].plan_id)


@pytest.mark.parametrize(
    ("spoil", "findings"),
    [
        (spoil_customer, {"customer_missing", "subscription_missing"}),
        (spoil_subscription, {"subscription_missing"}),
        (spoil_status, {"status_differs_here"}),
        (spoil_plan_there, {"plan_differs_there"}),
        (spoil_plan_here, {"plan_differs_here"}),
    ],
)
async def test_drift_is_found_and_mended_and_told(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company, spoil: object, findings: set[str]
) -> None:
    tenant_id = company.tenant.tenant_id
    old_keys = list(stripe.keys)
    spoil(stripe)  # type: ignore[operator]
    before, calls = await state(office, tenant_id), list(stripe.keys)
    assert await reconcile(clerk, dry_run=True) == {name(company): ("differs", findings)}
    assert await state(office, tenant_id) == before
    assert stripe.keys == calls, "a dry run changes nothing, on neither side"
    result, mended = (await reconcile(clerk))[name(company)]
    assert (result, mended >= findings) == ("mended", True)
    ((customer, tenant, _),) = stripe.customers
    ((subscription, of, price),) = stripe.subscriptions
    row = await office.subscription(tenant_id)
    assert (row["customer_id"], row["subscription_id"], tenant, of) == (
        customer,
        subscription,
        name(company),
        customer,
    )
    assert PRICES[row["plan"]].plan_id == price
    assert not set(old_keys) & set(stripe.keys[2:]), "a key is never used for something else"
    if "plan_differs_there" not in findings:
        assert len(await office.emitted(tenant_id, "SubscriptionChanged")) == 2


async def test_what_stripe_does_not_take_is_not_called_mended(
    clerk: Clerk, stripe: ScriptedStripe, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ignore(held: Subscription, *_: object) -> Subscription:
        return held

    monkeypatch.setattr(stripe, "change_plan", ignore)
    spoil_plan_there(stripe)
    (entry,) = [entry async for entry in Reconciliation(clerk).run()]
    assert (entry.tenant_id, entry.result, entry.error) == (name(company), "failed", "still_differs")


async def test_duplicates_are_ended_and_ours_is_kept(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    """Also when the other customer has another address, and a subscription of its own."""
    tenant = name(company)
    ((customer, _, email),) = stripe.customers
    ((subscription, _, _),) = stripe.subscriptions
    second = await stripe.create_subscription(customer, tenant, PRICE, "again")
    other = await stripe.create_customer(tenant, f"other-{email}", "Acme", "other")
    third = await stripe.create_subscription(other, tenant, PRICE, "third")
    found = await reconcile(clerk)
    assert found == {tenant: ("mended", {"customer_duplicate", "subscription_duplicate"})}
    assert [one for one, _, _ in stripe.customers] == [customer]
    assert [one for one, _, _ in stripe.subscriptions] == [subscription]
    assert set(stripe.canceled) == {second.subscription_id, third.subscription_id}


async def test_orphans_are_reported_and_left(
    service: Harness, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    stranger = to_text(Kind.TENANT, new_id())
    orphans = [
        await stripe.create_customer(owner, "x@example.com", "X", "x") for owner in (stranger, "", "bad")
    ]
    entries = [entry async for entry in Reconciliation(clerk).run()]
    assert {(entry.customer_id, entry.tenant_id) for entry in entries if entry.result == "orphan"} == {
        (orphans[0], stranger),
        (orphans[1], None),
        (orphans[2], "bad"),
    }
    assert len(stripe.customers) == 4


async def test_one_failure_does_not_stop_the_others(
    service: Harness, office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    other = await subscribed(service, office, clerk)
    for subscription, _, _ in stripe.subscriptions:
        stripe.change(subscription, status="past_due")
    run = Reconciliation(clerk).run()
    stripe.failures = []
    entries: list[Entry] = []
    async for entry in run:
        entries.append(entry)
        stripe.failures = ["api_error"] if len(entries) == 1 else []
    assert [(entry.result, entry.error) for entry in entries] == [("mended", None), ("failed", "api_error")]
    await office.make_due(other.tenant.tenant_id)
    await clerk.work_on(other.tenant.tenant_id)
    assert (await other.subscription()).json()["status"] == "past_due", "what was put off comes again"


async def test_one_tenant_alone(
    service: Harness, office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    await subscribed(service, office, clerk)
    for subscription, _, _ in stripe.subscriptions:
        stripe.change(subscription, status="past_due")
    entry = await Reconciliation(clerk).run_one(company.tenant.tenant_id)
    assert (entry.result, entry.tenant_id) == ("mended", name(company))
    rows = await office.fetch("SELECT status FROM tenants.subscriptions ORDER BY status")
    assert [row["status"] for row in rows] == ["past_due", "trialing"]
    with pytest.raises(NotFound):
        await Reconciliation(clerk).run_one(new_id())


async def test_it_waits_for_whoever_is_at_the_tenant(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    case = await clerk.claim(company.tenant.tenant_id, at_once=True)
    assert case is not None
    waiting = asyncio.create_task(Reconciliation(clerk).run_one(company.tenant.tenant_id))
    await asyncio.wait({waiting}, timeout=0.5)
    assert not waiting.done()
    await clerk.attend(case)
    assert (await waiting).result == "agrees"


async def test_a_day_is_compared_once_and_again_when_it_broke_off(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    calendar, day = Calendar(clerk), date(2026, 11, 22)
    reports = await asyncio.gather(*(calendar.reconcile(day) for _ in range(5)))
    (report,) = [one for one in reports if one is not None]
    assert report.counts == {"agrees": 1}
    (row,) = await office.fetch("SELECT report FROM tenants.reconciliations WHERE day = $1", day)
    assert '"agrees": 1' in row["report"]
    tomorrow = day + timedelta(days=1)
    stripe.failures = ["stripe_unreachable"]
    with pytest.raises(Exception, match="stripe_unreachable"):
        await calendar.reconcile(tomorrow)
    assert await calendar.reconcile(tomorrow) is None, "the claim of the one that broke off still holds"
    await office.fetch("UPDATE tenants.reconciliations SET claimed_until = now() - interval '1 s'")
    assert await calendar.reconcile(tomorrow) is not None
    assert await calendar.reconcile(tomorrow) is None
    assert await calendar.reconcile(day + timedelta(days=91)) is not None
    kept = await office.fetch("SELECT day FROM tenants.reconciliations ORDER BY day")
    assert [row["day"] for row in kept] == [tomorrow, day + timedelta(days=91)], "ninety days are kept"


async def test_more_tenants_than_a_batch(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [await subscribed(company.service, office, clerk) for _ in range(4)]
    for size in (1, 2, 5):
        monkeypatch.setattr("tenants.billing.reconciliation._BATCH", size)
        assert (await reconcile(clerk)).keys() == {name(one) for one in (company, *others)}


async def erase(office: Office, company: Company) -> None:
    """What the erasure of a deleted tenant does to what reconciliation reads."""
    tenant_id = company.tenant.tenant_id
    await office.fetch(
        "INSERT INTO tenants.deletions (tenant_id, erase_at, deleted_at) VALUES ($1, now(), now())", tenant_id
    )
    await office.fetch("DELETE FROM tenants.subscriptions WHERE tenant_id = $1", tenant_id)


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_tenant_that_is_erased_meanwhile_breaks_nothing_off(
    service: Harness, office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company, dry_run: bool
) -> None:
    last = await subscribed(service, office, clerk)
    runs = Reconciliation(clerk, dry_run=dry_run).run()
    entries = [await anext(runs)]
    await erase(office, last)
    entries += [entry async for entry in runs]
    assert [(entry.tenant_id, entry.result) for entry in entries] == [
        (name(company), "agrees"),
        (name(last), "over"),
    ]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_tenant_whose_billing_is_retired_is_over_at_once(
    service: Harness, clerk: Clerk, stripe: ScriptedStripe, company: Company, dry_run: bool
) -> None:
    context = SystemContext(company.tenant.tenant_id, "job", "tenants")
    async with service.kernel.database.tenant(context) as session:
        assert await retire(session) is not None
        await session.commit()
    async with asyncio.timeout(10):
        runs = Reconciliation(clerk, dry_run=dry_run)
        assert [entry.result async for entry in runs.run()] == ["over"]
        assert (await runs.run_one(company.tenant.tenant_id)).result == "over"


async def test_the_customer_of_a_deleted_tenant_is_no_orphan(
    office: Office, clerk: Clerk, stripe: ScriptedStripe, company: Company
) -> None:
    await erase(office, company)
    assert len(stripe.customers) == 1
    assert await reconcile(clerk) == {}
    await office.fetch(
        "UPDATE tenants.deletions SET deleted_at = NULL WHERE tenant_id = $1", company.tenant.tenant_id
    )
    assert [result for result, _ in (await reconcile(clerk)).values()] == ["orphan"]
