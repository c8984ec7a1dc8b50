"""Pages at Stripe and the list of invoices."""

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office, ScriptedStripe

from common.context import SystemContext
from common.ids import Kind, to_text
from common.testing.harness import Harness
from tenants.billing.reconciliation import Reconciliation
from tenants.billing.rules import PRICES
from tenants.billing.worker import Clerk
from tenants.lifecycle.service import suspend
from tenants.tenant.queries import lock_company


@pytest.fixture
async def company(service: Harness, office: Office, clerk: Clerk) -> Company:
    made = await found(service, "starter")
    await office.make_due(made.tenant.tenant_id)
    await clerk.work_on(made.tenant.tenant_id)
    return made


async def test_the_portal_is_that_of_the_own_customer(company: Company, stripe: ScriptedStripe) -> None:
    ((customer, _, _),) = stripe.customers
    answer = await company.bill("POST", "/portal")
    assert (answer.status_code, answer.json()) == (200, {"url": f"https://billing.stripe.example/{customer}"})
    assert answer.headers["Cache-Control"] == "no-store"


async def test_without_a_subscription_the_page_sells_one(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    ((subscription, _, _),) = stripe.subscriptions
    stripe.change(subscription, status="canceled")
    await office.make_due(company.tenant.tenant_id)
    await clerk.work_on(company.tenant.tenant_id)
    url = (await company.bill("POST", "/portal")).json()["url"]
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    assert url.endswith(f"/{tenant}/{PRICES['starter'].plan_id}")


async def test_a_tenant_suspended_for_not_paying_can_pay_and_read_but_not_change(
    company: Company, office: Office
) -> None:
    context = SystemContext(company.tenant.tenant_id, "job", "tenants")
    async with company.service.kernel.database.tenant(context) as session:
        await suspend(session, await lock_company(session), "unpaid")
        await session.commit()
    await office.fetch(
        "UPDATE tenancy.tenants SET status = 'suspended' WHERE tenant_id = $1", company.tenant.tenant_id
    )
    assert (await company.bill("POST", "/portal")).status_code == 200
    assert (await company.bill("GET", "/invoices")).status_code == 200
    refused = await company.bill("POST", "/plan", json={"plan": "enterprise"})
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")


async def test_before_the_customer_is_there(service: Harness, stripe: ScriptedStripe) -> None:
    company = await found(service, "starter")
    answer = await company.bill("POST", "/portal")
    assert (answer.status_code, answer.json()["code"]) == (409, "billing_not_ready")
    assert (await company.bill("GET", "/invoices")).json() == {"data": [], "next_cursor": None}
    assert stripe.calls == 0


@pytest.mark.parametrize(("method", "path"), [("POST", "/portal"), ("GET", "/invoices")])
async def test_stripe_away_is_said_and_nothing_of_theirs(
    company: Company, stripe: ScriptedStripe, method: str, path: str
) -> None:
    stripe.failures = ["resource_missing"]
    answer = await company.bill(method, path)
    assert (answer.status_code, answer.json()["code"]) == (503, "billing_unavailable")
    assert answer.headers["Retry-After"]
    assert "resource_missing" not in answer.text


async def test_invoices_come_by_pages(company: Company) -> None:
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = (await company.bill("GET", "/invoices", params=params)).json()
        seen += [invoice["invoice_id"] for invoice in page["data"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert [invoice[-1] for invoice in seen] == ["3", "2", "1"]


async def test_a_cursor_of_another_tenant_or_made_by_hand_opens_nothing(
    service: Harness, office: Office, clerk: Clerk, company: Company
) -> None:
    other = await found(service, "starter")
    await office.make_due(other.tenant.tenant_id)
    await clerk.work_on(other.tenant.tenant_id)
    cursor = (await other.bill("GET", "/invoices", params={"limit": 1})).json()["next_cursor"]
    for wrong in (cursor, cursor[:-1], "in_1", "====", "é"):
        answer = await company.bill("GET", "/invoices", params={"cursor": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), wrong


async def test_stripe_is_never_asked_inside_a_transaction(
    service: Harness, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    """Neither by the routes nor by the worker nor by the comparison: no connection is out meanwhile."""
    pool = service.kernel.database._engine.pool
    await service.kernel.access_log.flush()
    out: list[int] = []
    stripe.meanwhile = lambda: out.append(pool.checkedout())  # type: ignore[attr-defined]
    company = await found(service, "starter")
    await office.make_due(company.tenant.tenant_id)
    await clerk.work_on(company.tenant.tenant_id)
    assert (await company.bill("POST", "/plan", json={"plan": "enterprise"})).status_code == 202
    await clerk.work_on(company.tenant.tenant_id)
    await Reconciliation(clerk).run_one(company.tenant.tenant_id)
    assert (await company.bill("POST", "/portal")).status_code == 200
    assert (await company.bill("GET", "/invoices")).status_code == 200
    assert len(out) > 9
    assert set(out) == {0}
