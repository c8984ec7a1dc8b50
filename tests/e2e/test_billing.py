"""Billing through the gateway: another plan, Stripe's events by the public route, pages, and the command."""

import json
from typing import Any

import httpx
import pytest

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.surroundings import customers_of
from tests.e2e.test_command import run

WEBHOOK = "/api/v1/webhooks/stripe"


@pytest.fixture(scope="module")
async def payer(platform: Platform) -> Tenant:
    """With a customer and a subscription at Stripe."""
    tenant = await platform.sign_up("Payer Ltd")

    async def subscribed() -> bool:
        answer = await platform.get(tenant, "/billing/subscription")
        return bool(answer.json()["status"] != "pending")

    await eventually(subscribed, within=20)
    return tenant


async def test_another_plan_holds_everywhere_once_stripe_has_it(platform: Platform, payer: Tenant) -> None:
    answer = await platform.post(payer, "/billing/plan", {"plan": "professional"})
    assert (answer.status_code, answer.json()["wanted_plan"]) == (202, "professional")

    async def holds() -> bool:
        shown = (await platform.get(payer, "/billing/subscription")).json()
        settings = (await platform.get(payer, f"/tenants/{payer.tenant_id}/settings")).json()["settings"]
        quota = (await platform.get(payer, "/workspaces")).headers["RateLimit-Policy"]
        return bool(
            (shown["plan"], shown["wanted_plan"]) == ("professional", None)
            and settings["limits"]["max_users"] == 5
            and "q=1200" in quota
        )

    await eventually(holds, within=20)
    assert (await platform.audited(payer, action="tenant.plan_changed"))["actor"]["id"] == payer.owner_user_id


async def test_pages_and_invoices(platform: Platform, payer: Tenant) -> None:
    answer = await platform.post(payer, "/billing/portal", {})
    assert answer.status_code == 200, answer.text
    async with httpx.AsyncClient() as http:
        assert (await http.get(answer.json()["url"])).status_code == 200
    invoices = await platform.get(payer, "/billing/invoices")
    assert invoices.json() == {"data": [], "next_cursor": None}, "a trial costs nothing"


async def test_the_webhook_takes_what_is_signed_and_nothing_else(platform: Platform) -> None:
    """Without a token; and no more than a body may have."""
    for headers in ({}, {"Stripe-Signature": "t=1,v1=00"}):
        answer = await platform.http.post(WEBHOOK, content=b"{}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "webhook_invalid")
    answer = await platform.http.post(WEBHOOK, content=b"x" * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert (await platform.http.get(WEBHOOK)).status_code in (401, 404, 405)


async def test_what_happens_at_stripe_is_told_and_shown(
    platform: Platform, payer: Tenant, environment: dict[str, Any], stack: Stack
) -> None:
    """The stand-in signs its events and brings them to the gateway like everybody."""
    (customer,) = await customers_of(environment, payer.owner_email)
    async with httpx.AsyncClient(base_url=environment["stripe"], auth=("sk_test_local", "")) as http:
        held = (await http.get("/v1/subscriptions", params={"customer": customer["id"]})).json()["data"]
        assert len(held) == 1
        assert (await http.delete(f"/v1/subscriptions/{held[0]['id']}")).is_success

    async def shown() -> dict[str, Any] | None:
        found: dict[str, Any] = (await platform.get(payer, "/billing/subscription")).json()
        return found if found["banner"] else None

    found = await eventually(shown, within=20)
    assert (found["banner"], found["status"]) == ("canceled", "canceled")
    assert found["suspends_at"] > found["created_at"]
    page = (await platform.post(payer, "/billing/portal", {})).json()["url"]
    assert "/checkout/" in page
    words = ["billing", "reconcile", "--tenant", payer.tenant_id, "--json"]
    status, output = await run(stack, *words)
    assert status == 0, output
    entry, total = map(json.loads, output.splitlines())
    assert (entry["tenant_id"], entry["result"]) == (payer.tenant_id, "agrees")
    assert total["counts"] == {"agrees": 1}
