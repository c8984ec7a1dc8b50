"""The flows of billing with the real SDK over HTTP, against a server that speaks Stripe's protocol.

`localstripe` is a process of its own, started as the local stack does it. It knows neither idempotency keys
nor clocks, portal or checkout: these are tried in test_stripe_mock.py.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.ear import Ear
from services.tenants.tests.world import WEBHOOK_SECRET, Office
from typer.testing import CliRunner

from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness
from penguinmails import ports
from tenants.billing.commands import commands
from tenants.billing.gateway import BillingFailed, Stripe
from tenants.billing.reconciliation import Reconciliation
from tenants.billing.rules import PRICES
from tenants.billing.worker import Clerk
from tenants.webhook import gateway as webhooks

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""The SDK's own: it gives httpx the body under a name that httpx would rather have otherwise."""
KEY = "sk_test_tenants"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a localstripe."""
    folder, port = tmp_path_factory.mktemp("localstripe"), ports.random_free(set())
    command = [sys.executable, "-m", "penguinmails.confine", str(folder), "localstripe", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
async def account(server: str) -> AsyncIterator[httpx.AsyncClient]:
    """The account at Stripe as somebody there sees it; empty."""
    async with httpx.AsyncClient(base_url=server, auth=(KEY, "")) as http:
        async with asyncio.timeout(30):
            while not await _answers(http):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.05)
        await http.delete("/_config/data")
        yield http


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/v1/customers")).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
async def real(server: str) -> AsyncIterator[Stripe]:
    stripe = Stripe(KEY, server)
    yield stripe
    await stripe.close()


@pytest.fixture
async def clerk(service: Harness, office: Office, real: Stripe, account: httpx.AsyncClient) -> Clerk:
    await office.close_all_cases()
    await office.fetch("DELETE FROM tenants.subscriptions")
    return Clerk(service.kernel.database, real)


@pytest.fixture
async def company(service: Harness, office: Office, clerk: Clerk) -> Company:
    made = await found(service, "starter")
    await attend(office, clerk, made)
    return made


async def attend(office: Office, clerk: Clerk, company: Company) -> None:
    await office.make_due(company.tenant.tenant_id)
    await clerk.work_on(company.tenant.tenant_id)


async def list_all(account: httpx.AsyncClient, what: str, **params: str) -> list[dict[str, Any]]:
    answer = await account.get(f"/v1/{what}", params={"limit": "100", **params})
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_customer_and_subscription_and_another_plan(
    office: Office, clerk: Clerk, account: httpx.AsyncClient, company: Company
) -> None:
    (customer,) = await list_all(account, "customers")
    (subscription,) = await list_all(account, "subscriptions")
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    assert customer["metadata"] == subscription["metadata"] == {"tenant_id": tenant}
    assert (await company.bill("POST", "/plan", json={"plan": "enterprise"})).status_code == 202
    await clerk.work_on(company.tenant.tenant_id)
    (subscription,) = await list_all(account, "subscriptions")
    assert subscription["items"]["data"][0]["plan"]["id"] == PRICES["enterprise"].plan_id
    shown = (await company.subscription()).json()
    assert (shown["plan"], shown["wanted_plan"], shown["limits"]["max_users"]) == ("enterprise", None, 1000)


async def test_duplicates_are_impossible_though_keys_are_ignored(
    office: Office, clerk: Clerk, account: httpx.AsyncClient, company: Company
) -> None:
    for forgotten in ("customer_id = NULL, subscription_id = NULL", "subscription_id = NULL"):
        await office.fetch(f"UPDATE tenants.subscriptions SET {forgotten}")
        await attend(office, clerk, company)
    assert len(await list_all(account, "customers")) == 1
    assert len(await list_all(account, "subscriptions")) == 1


async def test_a_subscription_canceled_there_is_not_made_again(
    office: Office, clerk: Clerk, account: httpx.AsyncClient, company: Company
) -> None:
    (subscription,) = await list_all(account, "subscriptions")
    await account.delete(f"/v1/subscriptions/{subscription['id']}")
    await attend(office, clerk, company)
    shown = (await company.subscription()).json()
    assert (shown["status"], shown["banner"]) == ("canceled", "canceled")
    assert len(await list_all(account, "subscriptions", status="all")) == 1


async def test_reconciliation_mends_both_sides(
    office: Office, clerk: Clerk, account: httpx.AsyncClient, company: Company
) -> None:
    (customer,) = await list_all(account, "customers")
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    spare = {"email": "other@acme.example", "metadata[tenant_id]": tenant}
    await account.post("/v1/customers", data=spare)
    await account.post("/v1/customers", data={"email": "nobody@example.com"})
    body = {
        "customer": customer["id"],
        "metadata[tenant_id]": tenant,
        "items[0][plan]": PRICES["starter"].plan_id,
        "trial_period_days": "14",
    }
    assert (await account.post("/v1/subscriptions", data=body)).is_success
    entries = [entry async for entry in Reconciliation(clerk).run()]
    assert [entry.result for entry in entries] == ["mended", "orphan"]
    assert set(entries[0].findings) == {"customer_duplicate", "subscription_duplicate"}
    assert len(await list_all(account, "subscriptions")) == 1
    await account.delete(f"/v1/customers/{customer['id']}")
    entries = [entry async for entry in Reconciliation(clerk).run()]
    assert "customer_missing" in entries[0].findings
    assert (await company.subscription()).json()["status"] == "incomplete"
    entries = [entry async for entry in Reconciliation(clerk).run()]
    assert [entry.result for entry in entries] == ["agrees", "orphan"]


async def test_invoices_by_pages(account: httpx.AsyncClient, real: Stripe, company: Company) -> None:
    (customer,) = await list_all(account, "customers")
    for number in range(3):
        item = {"customer": customer["id"], "amount": str(2900 + number), "currency": "usd"}
        assert (await account.post("/v1/invoiceitems", data=item)).is_success
        assert (await account.post("/v1/invoices", data={"customer": customer["id"]})).is_success
    seen: list[str] = []
    after: str | None = None
    for _ in range(3):
        page, after = await real.list_invoices(customer["id"], 1, after)
        seen += [invoice.invoice_id for invoice in page]
        assert page[0].currency == "usd"
        assert page[0].amount_due >= 2900
    assert after is None
    assert len(set(seen)) == 3


async def test_stripe_away_is_a_failure_of_ours_to_name(service: Harness) -> None:
    away = Stripe(KEY, f"http://127.0.0.1:{ports.random_free(set())}")
    with pytest.raises(BillingFailed, match="stripe_unreachable"):
        await away.has_customer("cus_1")
    await away.close()


async def test_its_events_are_signed_as_the_sdk_expects(account: httpx.AsyncClient, tmp_path: Path) -> None:
    heard: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()
    async with Ear(heard) as port:
        hook = {"url": f"http://127.0.0.1:{port}/", "secret": WEBHOOK_SECRET}
        assert (await account.post("/_config/webhooks/tests", json=hook)).is_success
        made = (await account.post("/v1/customers", data={"email": "ear@example.com"})).json()
        async with asyncio.timeout(30):
            told = None
            while told is None or told.customer_id != made["id"]:
                told = webhooks.read(*await heard.get(), WEBHOOK_SECRET, 300)
    assert told.type == "customer.created"


async def reconcile(service: Harness, server: str, *words: str) -> tuple[int, list[str]]:
    """Exit status and lines of the operator's command."""
    settings = service.kernel.settings
    environment = {
        "DATABASE_URL": settings.database_url,
        "POOLER_MODE": settings.pooler_mode,
        "TENANCY_KEY": settings.tenancy_key.get_secret_value(),
        "LINK_SECRET": settings.link_secret.get_secret_value(),
        "SERVICE_SIGNING_KEY": "none",
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_API_BASE": server,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    }
    run = CliRunner(env=environment).invoke
    ended = await asyncio.to_thread(run, commands, ["reconcile", *words])
    return ended.exit_code, ended.stdout.splitlines()


async def test_the_command_reports_what_differs_and_mends_it(
    service: Harness, account: httpx.AsyncClient, server: str, company: Company, office: Office
) -> None:
    (subscription,) = await list_all(account, "subscriptions")
    await account.delete(f"/v1/subscriptions/{subscription['id']}")
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    orphan = (await account.post("/v1/customers", data={"email": "nobody@example.com"})).json()["id"]
    status, lines = await reconcile(service, server, "--dry-run")
    differs, nobodys, total = map(json.loads, lines)
    assert (status, total) == (0, {"counts": {"differs": 1, "orphan": 1}})
    assert (differs["tenant_id"], differs["findings"]) == (tenant, ["status_differs_here"])
    assert (nobodys["tenant_id"], nobodys["customer_id"]) == (None, orphan)
    assert (await company.subscription()).json()["banner"] is None
    status, lines = await reconcile(service, server, "--tenant", tenant)
    entry, total = map(json.loads, lines)
    assert (status, entry["result"], entry["findings"]) == (0, "mended", ["status_differs_here"])
    assert total == {"counts": {"mended": 1}}
    assert (await company.subscription()).json()["banner"] == "canceled"
    (read,) = (await office.emitted(company.tenant.tenant_id, "AccessRecorded"))[-1]["records"]
    assert (read["request"]["route"], read["targets"]) == (
        "billing reconcile",
        [{"type": "tenant", "id": tenant}],
    )
    away = f"http://127.0.0.1:{ports.random_free(set())}"
    assert await reconcile(service, away, "--tenant", tenant) == (1, [])
    assert await reconcile(service, server, "--tenant", to_text(Kind.TENANT, new_id())) == (2, [])
