"""Every route, discovered, for a tenant that is suspended or on its way out: heads read, nobody writes."""

from datetime import timedelta

import pytest

from common import clock
from common.contracts.auth import UserRegistered
from common.contracts.envelope import Event
from common.contracts.tenants import TenantDeletionScheduled, TenantSuspended
from common.ids import Kind, new_id, parse, to_text
from common.testing.harness import Harness
from common.web.routes import TenantRoute
from tests.isolation.calls import Calls
from tests.isolation.routes import PREFIX, ROUTES, Route, all_routes
from tests.isolation.services import SERVICES, idle_kernel, service_of
from tests.isolation.targets import Party

EXEMPT = {
    "GET /auth/me": "their own account",
    "POST /auth/logout": "their own session",
    "POST /auth/logout-all": "their own sessions",
    "GET /auth/sessions": "their own sessions",
    "DELETE /auth/sessions/{session_id}": "their own session",
    "POST /billing/portal": "paying what is owed",
    "POST /tenants/{tenant_id}/export": "what it takes along",
    "GET /tenants/{tenant_id}/exports/{job_id}": "what it takes along",
    "GET /tenants/{tenant_id}/deletion": "whether the tenant stays",
    "POST /tenants/{tenant_id}/deletion": "whether the tenant stays",
    "DELETE /tenants/{tenant_id}/deletion": "whether the tenant stays",
}
"""Routes that work as ever, for whom they are."""
GUARDED = [route for route in ROUTES if str(route) not in EXEMPT]


def standing(kind: str, tenant: str) -> Event:
    tenant_id = parse(Kind.TENANT, tenant)
    if kind == "suspended":
        return TenantSuspended(tenant_id=tenant_id, version=7, reason="operator")
    return TenantDeletionScheduled(tenant_id=tenant_id, version=7, erase_at=clock.now() + timedelta(days=30))


async def member_of(harness: Harness, party: Party) -> Party:
    user_id, tenant_id = new_id(), parse(Kind.TENANT, party.tenant_id)
    event = UserRegistered(
        tenant_id=tenant_id,
        user_id=user_id,
        version=1,
        email=f"{user_id.hex}@example.com",
        name="Ulla User",
        role="member",
        memberships=(),
    )
    await harness.handle(tenant_id, event)
    token = harness.issuer.token(tenant_id, user_id)
    return Party(party.tenant_id, to_text(Kind.USER, user_id), party.workspace_id, party.session_id, token)


def test_exempt_routes_are_the_reviewed_ones() -> None:
    apps = [service_of(name).create_app(idle_kernel(service_of(name))) for name in SERVICES]
    exempt = {
        f"{method} {route.path_format.removeprefix(PREFIX)}"
        for app in apps
        for route in all_routes(app)
        if isinstance(route, TenantRoute) and route.WHILE_SUSPENDED
        for method in route.methods or ()
    }
    assert exempt == EXEMPT.keys()


@pytest.mark.parametrize("kind", ["suspended", "deleting"])
@pytest.mark.parametrize("route", GUARDED, ids=str)
async def test_heads_read_and_nobody_writes(in_process: Calls, route: Route, kind: str) -> None:
    calls = in_process
    party = await calls.target.join(route.service)
    ids = await calls.ids_of(route, party)
    await calls.prepare(route, party, ids)
    body = await calls.body_of(route, party)
    harness: Harness = calls.target.harness(route.service)  # type: ignore[attr-defined]
    member = await member_of(harness, party)
    event = standing(kind, party.tenant_id)
    await harness.handle(parse(Kind.TENANT, party.tenant_id), event)
    asked = {
        one: await calls.ask(route, None, ids, headers=one.headers, body=body) for one in (party, member)
    }
    refused = [member] if route.method == "GET" else [party, member]
    for one, answer in asked.items():
        if one in refused:
            assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended"), answer.text
        else:
            assert answer.is_success, answer.text
