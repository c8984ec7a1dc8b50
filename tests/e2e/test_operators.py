"""An operator's day, through the gateway: log in, look, suspend, override; and what tenants notice of it."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.test_command import run

TENANTS = "/api/v1/platform/tenants"
Headers = dict[str, str]


@pytest.fixture(scope="module")
async def operator(stack: Stack, platform: Platform) -> Headers:
    """Headers of an operator who was created at the command line and has logged in."""
    words = ("--email", "Opal@penguinmails.example", "--name", "Opal", "--generate")
    status, output = await run(stack, "operator", "create", *words)
    assert status == 0, output
    password = re.search(r"^Password: (\S+)$", output, re.MULTILINE)
    assert password is not None, output
    body = {"email": "opal@penguinmails.example", "password": password[1]}
    answer = await platform.http.post("/api/v1/platform/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
def act(platform: Platform, operator: Headers, tenant: Tenant) -> Callable[..., Any]:
    """Asks for something about the tenant as the operator."""

    async def ask(method: str, path: str = "", body: Any = None) -> httpx.Response:
        url = f"{TENANTS}/{tenant.tenant_id}{path}"
        return await platform.http.request(method, url, headers=operator, json=body)

    return ask


async def test_each_kind_of_token_opens_its_own_half(
    platform: Platform, operator: Headers, tenant: Tenant
) -> None:
    me = await platform.http.get("/api/v1/platform/auth/me", headers=operator)
    assert me.json()["email"] == "opal@penguinmails.example"
    for path in ("/auth/me", "/workspaces", f"/tenants/{tenant.tenant_id}", "/audit/events", "/campaigns"):
        answer = await platform.http.get(f"/api/v1{path}", headers=operator)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path
    for path in ("/auth/me", "/tenants", f"/tenants/{tenant.tenant_id}"):
        answer = await platform.get(tenant, f"/platform{path}")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path


async def test_a_new_rate_limit_holds_in_every_service_within_a_second(
    platform: Platform, act: Callable[..., Any], tenant: Tenant
) -> None:
    """The services learn it from the event; their headers tell."""
    paths = ("/auth/me", "/billing/subscription", "/workspaces", "/campaigns", "/audit/events")
    for path in paths:
        before = await platform.get(tenant, path)
        assert before.headers["RateLimit-Policy"] == '"tenant";q=300;w=60', path
    assert (await act("PUT", "/features/api_rate_limit", {"value": 7000})).status_code == 200
    told, late = time.monotonic(), dict.fromkeys(paths, 0.0)
    for path in paths:
        while (await platform.get(tenant, path)).headers["RateLimit-Policy"] != '"tenant";q=7000;w=60':
            assert time.monotonic() - told < 10, path
        late[path] = time.monotonic() - told
    assert max(late.values()) < 1, late
    lifted = await act("DELETE", "/features/api_rate_limit")
    assert lifted.json()["features"]["api_rate_limit"] == 300


async def test_a_suspension_holds_everywhere_and_names_its_operator(
    platform: Platform, act: Callable[..., Any], tenant: Tenant, environment: dict[str, Any]
) -> None:
    answer = await act("POST", "/suspend", {"reason": "Bought lists"})
    assert answer.json()["status"] == "suspended", answer.text

    async def refused() -> bool:
        tried = await platform.post(tenant, "/workspaces", {"name": "More"})
        return (tried.status_code, tried.json().get("code")) == (403, "tenant_suspended")

    await eventually(refused, within=1)
    assert (await platform.get(tenant, "/workspaces")).status_code == 200
    ordered = await platform.audited(tenant, action="tenant.suspension_ordered")
    assert ordered["actor"]["type"] == "operator"
    assert ordered["changes"]["reason"] == "Bought lists"
    assert (await act("POST", "/reactivate")).json()["status"] == "active"
    await platform.audited(tenant, action="tenant.reactivated")
    await eventually(lambda: in_the_platforms_log(environment, tenant, ordered["actor"]["id"]))


async def in_the_platforms_log(environment: dict[str, Any], tenant: Tenant, operator: str) -> bool:
    """Whether log-in, reads and acts of the operator stand in the log of the platform's own tenant."""
    connection = await asyncpg.connect(environment["postgres"]["superuser"], database="audit")
    try:
        rows = await connection.fetch(
            "SELECT action, changes FROM audit.events WHERE tenant_id = $1 AND actor_id = $2",
            "00000000-0000-0000-0000-000000000000",
            operator,
        )
    finally:
        await connection.close()
    actions = {row["action"] for row in rows}
    acts = [json.loads(row["changes"]) for row in rows if row["action"] == "tenant.suspended"]
    wanted = {"operator.logged_in", "access.recorded", "tenant.suspended", "tenant.reactivated"}
    return wanted <= actions and [act["tenant_id"] for act in acts] == [tenant.tenant_id]


async def test_tenants_are_listed_and_searched(
    stack: Stack, platform: Platform, operator: Headers, tenant: Tenant
) -> None:
    name = tenant.company_name.upper()
    answer = await platform.http.get(TENANTS, headers=operator, params={"q": name, "status": "active"})
    assert tenant.tenant_id in [one["tenant_id"] for one in answer.json()["data"]]
    status, output = await run(stack, "tenants", "list", "--q", name, "--json")
    assert status == 0, output
    assert tenant.tenant_id in [one["tenant_id"] for one in json.loads(output)]
    _, shown = await run(stack, "tenants", "flag", tenant.tenant_id, "beta_features", "on")
    assert json.loads(shown)["features"]["beta_features"] is True, shown


async def test_what_the_platform_is_at_is_seen_and_mended_without_a_shell(
    stack: Stack, platform: Platform, operator: Headers, tenant: Tenant
) -> None:
    """Sign-up, export, billing and its comparison with Stripe, deletion: all of one tenant."""

    async def ask(method: str, path: str, body: Any = None) -> Any:
        answer = await platform.http.request(method, f"/api/v1/platform{path}", headers=operator, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def is_subscribed() -> bool:
        return (await ask("GET", f"/billing/{tenant.tenant_id}"))["subscription_id"] is not None

    assert (await ask("GET", "/provisioning"))["data"][0]["tenant_id"].startswith("tenant_")
    resumed = await ask("POST", f"/provisioning/{tenant.tenant_id}/resume")
    assert resumed["tenant_id"] == tenant.tenant_id
    await eventually(is_subscribed, within=20)
    runs = f"/billing/{tenant.tenant_id}/reconciliations"
    ordered = await ask("POST", runs, {"dry_run": True})

    async def report() -> Any:
        return (await ask("GET", f"{runs}/{ordered['job_id']}"))["report"]

    assert sum((await eventually(report, within=30))["counts"].values()) == 1
    await platform.audited(tenant, action="billing.reconciliation_ordered")
    job = (await platform.post(tenant, f"/tenants/{tenant.tenant_id}/export", {})).json()["job_id"]

    async def is_done() -> bool:
        return (await ask("GET", f"/exports/{tenant.tenant_id}/{job}"))["status"] == "done"

    await eventually(is_done, within=30)
    status, output = await run(stack, "exports", "list", "--tenant", tenant.tenant_id, "--json")
    assert (status, [one["job_id"] for one in json.loads(output)]) == (0, [job]), output
    status, output = await run(stack, "billing", "list", "--json")
    assert tenant.tenant_id in [one["tenant_id"] for one in json.loads(output)], output
    body = {"company_name": tenant.company_name}
    await platform.post(tenant, f"/tenants/{tenant.tenant_id}/deletion", body)
    scheduled = await ask("GET", f"/deletions/{tenant.tenant_id}")
    assert scheduled["status"] == "scheduled"
    assert await ask("POST", f"/deletions/{tenant.tenant_id}/run") == scheduled, "the grace is the owner's"


async def test_a_closed_operators_token_ends_in_every_service(
    stack: Stack, platform: Platform, operator: Headers, act: Callable[..., Any]
) -> None:
    """Within a second of the event. The last test with this operator."""

    async def refused() -> bool:
        me = await platform.http.get("/api/v1/platform/auth/me", headers=operator)
        return (me.status_code, (await act("GET")).status_code) == (401, 401)

    assert (await act("GET")).status_code == 200
    status, output = await run(stack, "operator", "close", "--email", "opal@penguinmails.example")
    assert status == 0, output
    await eventually(refused, within=2)
