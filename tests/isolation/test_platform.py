"""Operators and tenants are kept apart: no token of the one opens a route of the other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any, get_args

import pytest

from common import clock
from common.context import OperatorContext, TenantContext
from common.contracts.auth import OperatorTokensRevoked
from common.ids import PLATFORM_TENANT, Kind, new_id, parse, to_text
from common.testing.harness import bearer
from common.testing.issuer import TokenIssuer
from common.web.platform import PlatformRoute
from common.web.tokens import TokenVerifier
from tests.isolation import forgeries
from tests.isolation.calls import Calls, bytes_of, nobodys
from tests.isolation.installation import World
from tests.isolation.resources import never
from tests.isolation.routes import PLATFORM_ROUTES, PREFIX, ROUTES, Route
from tests.isolation.targets import Party
from tests.isolation.test_surface import beside_tenants

VALUES = {"flag": "api_rate_limit"}
"""Parameters of platform routes that name no resource."""
_NO_JOB = never(Kind.JOB)


def paths(route: Route, tenant_id: str, job_id: str) -> dict[str, str]:
    """Values for the route's path that name the tenant."""
    values = {**VALUES, "tenant_id": tenant_id, "job_id": job_id}
    return {name: values[name] for name in route.path_ids}


async def prepare(calls: Calls, route: Route, party: Party, operator: str) -> str:
    """Make what the route is about; the id of the job that it names, if it names one."""
    if "/deletions/" in route.path:
        path, body = f"{PREFIX}/tenants/{party.tenant_id}/deletion", {"company_name": "Seeded Ltd"}
        answer = await calls.target.client(route.service).post(path, headers=party.headers, json=body)
        assert answer.is_success, answer.text
    if "job_id" not in route.path_ids:
        return ""
    if "/exports/" in route.path:
        return await calls.make(route.service, party, Kind.JOB)
    path = route.path.removesuffix("/{job_id}").format(tenant_id=party.tenant_id)
    answer = await calls.target.client(route.service).post(path, headers=bearer(operator), json={})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def ask(calls: Calls, route: Route, token: str | None, tenant_id: str, job_id: str = _NO_JOB) -> Any:
    body = route.fill_body(never)
    return await calls.target.client(route.service).request(
        route.method,
        route.fill_path(paths(route, tenant_id, job_id)),
        headers=bearer(token) if token else {},
        json=body,
    )


def test_an_operator_is_no_tenant_for_the_type_checker_either() -> None:
    """`Database.tenant` takes a `TenantContext`; this is none, and has nothing to make one of."""
    assert OperatorContext not in get_args(TenantContext)
    assert not {"tenant_id", "user_id", "session_id"} & {field.name for field in fields(OperatorContext)}


def test_platform_routes_stand_apart() -> None:
    assert PLATFORM_ROUTES
    assert all(route.path.startswith(f"{PREFIX}/platform/") for route in PLATFORM_ROUTES)
    assert not any(route.path.startswith(f"{PREFIX}/platform") for route in ROUTES)
    found = {f"{route.service} {route.method} {route.path}" for route in PLATFORM_ROUTES}
    assert beside_tenants(PlatformRoute) == found


@pytest.mark.parametrize("route", PLATFORM_ROUTES, ids=str)
async def test_operators_pass(in_process: Calls, route: Route) -> None:
    """The positive control: without it the refusals below prove nothing."""
    subject = await in_process.target.join(route.service)
    issuer = in_process.target.issuer(route.service)
    assert issuer is not None
    token = issuer.operator_token(new_id())
    job_id = await prepare(in_process, route, subject, token)
    answer = await ask(in_process, route, token, subject.tenant_id, job_id)
    if route.path.endswith("/auth/me"):  # an operator that nobody created
        assert answer.status_code == 401
    else:
        assert answer.is_success, answer.text
        assert answer.headers["RateLimit-Policy"] == '"operator";q=600;w=60'


@pytest.mark.parametrize("route", PLATFORM_ROUTES, ids=str)
async def test_tenants_are_refused_on_platform_routes(calls: Calls, route: Route) -> None:
    """An owner, of the very tenant at stake or of another, is nobody here."""
    mine, theirs = await calls.pair(route.service)
    without = await ask(calls, route, None, theirs.tenant_id)
    assert (without.status_code, without.json()["code"]) == (401, "unauthenticated")
    for token, tenant_id in ((mine.token, mine.tenant_id), (mine.token, theirs.tenant_id)):
        answer = await ask(calls, route, token, tenant_id)
        assert bytes_of(answer) == bytes_of(without)
    missing = await ask(calls, route, mine.token, never(Kind.TENANT))
    assert bytes_of(missing) == bytes_of(without)


@pytest.mark.parametrize("route", PLATFORM_ROUTES, ids=str)
async def test_forged_operators_are_refused_alike(in_process: Calls, route: Route) -> None:
    calls = in_process
    mine, theirs = await calls.pair(route.service)
    issuer = calls.target.issuer(route.service)
    assert issuer is not None
    without = await ask(calls, route, None, theirs.tenant_id)
    for name, token in forged_operators(issuer, parse(Kind.TENANT, mine.tenant_id)).items():
        answer = await ask(calls, route, token, theirs.tenant_id)
        assert bytes_of(answer) == bytes_of(without), name


def forged_operators(issuer: TokenIssuer, tenant_id: Any) -> dict[str, str]:
    """Tokens that say they are an operator's and that nobody should believe."""
    operator, user = new_id(), new_id()
    claims, name = issuer.operator_claims(operator), to_text(Kind.USER, user)
    made = forgeries.of_anybody(issuer, claims)
    own = {
        "a stranger's signature": TokenIssuer().operator_token(operator),
        "with a tenant": issuer.operator_token(operator, tenant_id=to_text(Kind.TENANT, tenant_id)),
        "a user as the subject": issuer.operator_token(operator, sub=to_text(Kind.USER, user)),
        "a user as the operator": issuer.sign({**claims, "sub": name, "operator_id": name}),
        "without an operator": issuer.sign({**claims, "operator_id": None}),
        "for users": issuer.operator_token(operator, aud="penguinmails"),
        "for both": issuer.operator_token(operator, aud=["penguinmails", "penguinmails-platform"]),
        "a user's for the platform": issuer.token(tenant_id, user, aud="penguinmails-platform"),
    }
    return {**made, **own}


@pytest.mark.parametrize("route", PLATFORM_ROUTES, ids=str)
async def test_a_closed_operators_token_is_refused_alike(
    in_process: Calls, worlds: Callable[[str], Awaitable[World]], route: Route
) -> None:
    """By every service, as soon as it hears of it; other operators' go on."""
    calls, operator = in_process, new_id()
    mine = await calls.target.join(route.service)
    issuer = calls.target.issuer(route.service)
    assert issuer is not None
    without = await ask(calls, route, None, mine.tenant_id)
    job_id = await prepare(calls, route, mine, issuer.operator_token(new_id()))
    token = issuer.operator_token(operator)
    ended = OperatorTokensRevoked(tenant_id=PLATFORM_TENANT, operator_id=operator, version=2, at=clock.now())
    harness = (await worlds(route.service)).harness
    await harness.handle(PLATFORM_TENANT, ended)
    assert bytes_of(await ask(calls, route, token, mine.tenant_id)) == bytes_of(without)
    other = await ask(calls, route, issuer.operator_token(new_id()), mine.tenant_id, job_id)
    assert other.is_success or route.path.endswith("/auth/me")


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_operators_are_refused_on_tenants_routes(in_process: Calls, route: Route) -> None:
    calls = in_process
    await calls.pair(route.service)
    issuer = calls.target.issuer(route.service)
    assert issuer is not None
    without = await calls.ask(route, None, nobodys(route))
    tokens = [issuer.operator_token(new_id()), issuer.operator_token(new_id(), aud="penguinmails")]
    answers = await asyncio.gather(
        *(calls.ask(route, None, nobodys(route), headers=bearer(token)) for token in tokens)
    )
    for answer in answers:
        assert answer.status_code == 401
        assert bytes_of(answer) == bytes_of(without)


async def test_one_audience_for_both_stops_a_service(worlds: Callable[[str], Awaitable[World]]) -> None:
    settings = (await worlds("campaigns")).harness.kernel.settings
    with pytest.raises(ValueError, match="must differ"):
        TokenVerifier(settings.model_copy(update={"platform_audience": settings.token_audience}))
