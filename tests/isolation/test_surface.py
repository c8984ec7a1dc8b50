"""Nothing is served that these tests do not know how to ask: what is not a tenant's route is on a list."""

import time
from typing import Any

import jwt
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from common.ids import Kind
from common.testing.harness import bearer
from common.web.app import create_app
from common.web.platform import PlatformRoute
from common.web.routes import InternalRoute, PublicRoute, TenantRoute
from common.web.service_tokens import make_service_token
from tests.isolation.calls import Calls, bytes_of
from tests.isolation.resources import never
from tests.isolation.routes import ROUTES, Route, all_routes, ids_below
from tests.isolation.services import CAMPAIGNS_KEY_PEM, SERVICES, SIGNING_KEY_PEM, idle_kernel, service_of

PUBLIC = {
    "auth GET /.well-known/jwks.json": "the public keys",
    "auth GET /.well-known/openid-configuration": "where the public keys are",
    "auth POST /api/v1/auth/login": "an address and its password; says nothing of tenants without the latter",
    "auth POST /api/v1/auth/refresh": "a refresh token, whose row names its tenant",
    "auth POST /api/v1/auth/password/reset": "the token of a mailed link, which names its tenant",
    "auth POST /api/v1/platform/auth/login": "an operator's address and password",
    "auth POST /api/v1/platform/auth/mfa": "what an operator's log-in gave, and a code of their app",
    "auth POST /api/v1/invitations/accept": "the token of a mailed link, which names its tenant",
    "tenants POST /api/v1/tenants": "sign-up: a new tenant, or the one that the same secret key made",
    "tenants GET /api/v1/tenants/provisioning/{signed}": "a signed link, whose content names its tenant",
    "tenants GET /api/v1/tenants/exports/{signed}": "a signed link, whose content names tenant and archive",
    "tenants POST /api/v1/webhooks/stripe": "what Stripe signed; our own row says whose a customer is",
    "tenants GET /docs": "the reference of the API",
    "tenants GET /openapi.json": "the reference of the API",
}
"""Routes for anybody, and what stands in for a tenant's token. Each has tests of its own in its service."""

INTERNAL = {"auth POST /internal/tokens": "the tenants service asks for the tokens that answer a sign-up"}
"""Routes for other services."""

UNDECLARED = [
    (route, method)
    for route in ROUTES
    if route.path_ids and route.method == "GET"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    if (method, route.path) not in {(other.method, other.path) for other in ROUTES}
]


def beside_tenants(kind: type[APIRoute]) -> set[str]:
    """All routes of the class, with their service; health checks apart."""
    return {
        f"{name} {method} {route.path_format}"
        for name in SERVICES
        for route in all_routes(service_of(name).create_app(idle_kernel(service_of(name))))
        if isinstance(route, kind) and not route.path_format.startswith("/health/")
        for method in route.methods or ()
    }


def test_public_routes_are_the_reviewed_ones() -> None:
    assert beside_tenants(PublicRoute) == PUBLIC.keys()


def test_internal_routes_are_the_reviewed_ones() -> None:
    assert beside_tenants(InternalRoute) == INTERNAL.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_every_route_has_a_class(name: str) -> None:
    app = service_of(name).create_app(idle_kernel(service_of(name)))
    routes = list(all_routes(app))
    assert routes
    assert all(
        isinstance(route, TenantRoute | PlatformRoute | PublicRoute | InternalRoute) for route in routes
    )
    assert not app.routes or {type(route).__name__ for route in app.routes} <= {"_IncludedRouter"}


def test_a_route_without_a_class_is_not_served() -> None:
    router = APIRouter(prefix="/api/v1/loot")
    router.add_api_route("", lambda: None)
    with pytest.raises(TypeError, match="neither a tenant's, the platform's, public nor internal"):
        create_app(idle_kernel(service_of("campaigns")), [router])


def test_identifiers_deep_in_a_body_would_be_found() -> None:
    identifier = {"type": "string", "pattern": "^camp_[0-9a-z]{26}$"}
    several = {"type": "array", "items": {"properties": {"b": identifier}}}
    deep = {"properties": {"a": {"anyOf": [several, {"type": "null"}]}}}
    assert ids_below(deep) == {"a/b": Kind.CAMPAIGN}
    route = Route("campaigns", "POST", "/loot", {}, {}, (), deep)
    assert route.name_in_body("a/b", "camp_1") == {"a": [{"b": "camp_1"}]}


@pytest.mark.parametrize(("route", "method"), UNDECLARED, ids=str)
async def test_other_methods_tell_foreign_ids_from_none(in_process: Calls, route: Route, method: str) -> None:
    """A method that the path does not have answers alike for own, foreign and never-existing ids."""
    calls = in_process
    mine, theirs = await calls.pair(route.service)
    nobodys = {name: never(kind) if kind else "nothing" for name, kind in route.path_ids.items()}
    client = calls.target.client(route.service)
    answers = [
        await client.request(method, route.fill_path(ids), headers=mine.headers, json={})
        for ids in (await calls.ids_of(route, mine), await calls.ids_of(route, theirs), nobodys)
    ]
    assert answers[0].status_code in (404, 405), answers[0].text
    assert len({bytes_of(answer) for answer in answers}) == 1


# Internal routes ---------------------------------------------------------------------------------------


def service_token(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "tenants", "aud": "auth", "iat": now, "exp": now + 30, "jti": "once", **changes}
    return jwt.encode(claims, SIGNING_KEY_PEM, algorithm="ES256", headers={"typ": "service+jwt"})


@pytest.mark.parametrize("line", INTERNAL)
async def test_internal_routes_take_the_named_service_only(in_process: Calls, line: str) -> None:
    calls = in_process
    service, method, path = line.split()
    mine, _ = await calls.pair(service)
    tokens = {
        "a user's": mine.token,
        "another service's": make_service_token(CAMPAIGNS_KEY_PEM, "campaigns", service),
        "another service's, in the name of this": make_service_token(CAMPAIGNS_KEY_PEM, "tenants", service),
        "this service's, in the name of another": make_service_token(SIGNING_KEY_PEM, "campaigns", service),
        "for another service": make_service_token(SIGNING_KEY_PEM, "tenants", "workspaces"),
        "expired": service_token(exp=int(time.time()) - 60, iat=int(time.time()) - 90),
        "for long": service_token(exp=int(time.time()) + 3600),
        "for several": service_token(aud=[service]),
    }
    body = {"tenant_id": mine.tenant_id, "user_id": mine.user_id}
    client = calls.target.client(service)
    for name, token in tokens.items():
        answer = await client.request(method, path, headers=bearer(token), json=body)
        assert answer.status_code == (403 if name == "another service's" else 401), name
    without = await client.request(method, path, json=body)
    assert without.status_code == 401
    honest = await client.request(method, path, headers=bearer(service_token()), json=body)
    assert honest.is_success, "the positive control"
    unknown = {**body, "user_id": never(Kind.USER)}
    missing = await client.request(method, path, headers=bearer(service_token()), json=unknown)
    assert missing.status_code == 404
