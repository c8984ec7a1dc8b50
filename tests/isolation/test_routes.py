"""Every route of every service, as the owner, as nobody, with forged tokens, and with the ids of others.

The routes are discovered; one that cannot be exercised as its owner needs an entry in `resources.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from common.ids import Kind
from common.testing.harness import Harness
from penguinmails.stack import Stack
from tests.isolation import forgeries
from tests.isolation.installation import World
from tests.isolation.resources import MAKERS, SPENDING, never, prepare
from tests.isolation.routes import ID_KINDS, Route, discover
from tests.isolation.targets import InProcess, Installation, Party, Target

ROUTES = discover()
NAMING_IN_PATH = [
    (route, name) for route in ROUTES for name in route.path_ids if ID_KINDS[name] is not Kind.TENANT
]
NAMING_A_TENANT = [route for route in ROUTES if "tenant_id" in route.path_ids]
NAMING_IN_BODY = [(route, name) for route in ROUTES for name in route.body_ids]
NAMING_IN_QUERY = [(route, name) for route in ROUTES for name in route.query_ids]


@pytest.fixture(scope="session")
async def in_process(worlds: Callable[[str], Awaitable[World]]) -> Target:
    async def harness(name: str) -> Harness:
        return (await worlds(name)).harness

    return InProcess(harness)


@pytest.fixture(scope="session")
async def at_the_services(stack: Stack) -> AsyncIterator[Target]:
    environment = stack.env()
    async with AsyncExitStack() as exits:
        gateway = await exits.enter_async_context(client(environment["gateway"]))
        services = {
            name: await exits.enter_async_context(client(url))
            for name, url in environment["services"].items()
        }
        yield Installation(gateway, services)


@pytest.fixture(scope="session")
async def at_the_gateway(stack: Stack) -> AsyncIterator[Target]:
    async with client(stack.env()["gateway"]) as gateway:
        yield Installation(gateway)


@pytest.fixture(scope="session", params=["in_process", "at_the_services", "at_the_gateway"])
def target(request: pytest.FixtureRequest) -> Target:
    """The applications in this process, the services of the running stack, and its gateway."""
    chosen: Target = request.getfixturevalue(request.param)
    return chosen


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=20)


_PAIRS: dict[tuple[int, str], tuple[Party, Party]] = {}


async def pair(target: Target, service: str) -> tuple[Party, Party]:
    """Two tenants that the service knows; the first is the caller."""
    key = (id(target), service)
    if key not in _PAIRS:
        _PAIRS[key] = (await target.join(service), await target.join(service))
    return _PAIRS[key]


async def ids_of(target: Target, route: Route, party: Party) -> dict[str, str]:
    """Resources of the party for every parameter of the path."""
    return {name: await MAKERS[ID_KINDS[name]](target, route.service, party) for name in route.path_ids}


async def ask(
    target: Target, route: Route, party: Party | None, ids: dict[str, str], **changes: Any
) -> httpx.Response:
    """The route with a body of the party's own; `changes`: to `headers`, `params` or `body`."""
    own: dict[Kind, str] = {}
    if party is not None:
        for kind in route.body_ids.values():
            own[kind] = await MAKERS[kind](target, route.service, party)
    body = route.fill_body(lambda kind: own.get(kind) or never(kind))
    if body is not None:
        body |= changes.get("body", {})
    return await target.client(route.service).request(
        route.method,
        route.fill_path(ids),
        headers={**(party.headers if party else {}), **changes.get("headers", {})},
        params=changes.get("params"),
        json=body,
    )


def bytes_of(answer: httpx.Response) -> tuple[int, str, str]:
    """An error as the caller sees it, without what differs between any two requests."""
    document = answer.json()
    text = answer.text.replace(document["trace_id"], "").replace(document["instance"], "")
    return answer.status_code, answer.headers["content-type"], text


def named(value: str, current: Any) -> Any:
    return [value] if isinstance(current, list) else value


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_owner_succeeds(target: Target, route: Route) -> None:
    """The positive control: without it the refusals below prove nothing."""
    fresh = str(route) in SPENDING
    party = await target.join(route.service) if fresh else (await pair(target, route.service))[0]
    ids = await ids_of(target, route, party)
    await prepare(target, route, party, ids)
    answer = await ask(target, route, party, ids)
    assert answer.is_success, answer.text


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_forged_tokens_are_refused_alike(target: Target, route: Route) -> None:
    mine, theirs = await pair(target, route.service)
    ids = {name: never(ID_KINDS[name]) for name in route.path_ids}
    without = await ask(target, route, None, ids)
    assert without.status_code == 401
    assert without.json()["code"] == "unauthenticated"
    tokens = forgeries.without_the_key(mine.token, await target.jwks(route.service), theirs.tenant_id)
    issuer = target.issuer(route.service)
    if issuer is not None:
        tokens |= forgeries.with_the_key(issuer, forgeries.claims_of(mine.token))
    headers = {name: f"Bearer {token}" for name, token in tokens.items()}
    headers |= {"another scheme": f"Basic {mine.token}", "no scheme": mine.token, "no token": "Bearer "}
    answers = await asyncio.gather(
        *(ask(target, route, None, ids, headers={"Authorization": value}) for value in headers.values())
    )
    for name, answer in zip(headers, answers, strict=True):
        assert answer.status_code == 401, name
        assert bytes_of(answer) == bytes_of(without), name
        assert answer.headers["www-authenticate"].startswith("Bearer"), name


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_naming_another_tenant_is_forbidden(target: Target, route: Route) -> None:
    """In a header, in the query, in the body: whatever else the request is, and as often as one likes."""
    mine, theirs = await pair(target, route.service)
    ids = {name: never(ID_KINDS[name]) for name in route.path_ids} | {"tenant_id": mine.tenant_id}
    ways: list[dict[str, Any]] = [
        {"headers": {"X-Tenant-ID": theirs.tenant_id}},
        {"params": {"tenant_id": theirs.tenant_id}},
        {"params": [("tenant_id", mine.tenant_id), ("tenant_id", theirs.tenant_id)]},
    ]
    if route.body is not None:
        ways.append({"body": {"tenant_id": theirs.tenant_id}})
    for way in ways:
        answer = await ask(target, route, mine, ids, **way)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_tenant_forbidden"), way


@pytest.mark.parametrize("route", NAMING_A_TENANT, ids=str)
async def test_another_tenant_in_the_path_is_forbidden(target: Target, route: Route) -> None:
    mine, theirs = await pair(target, route.service)
    foreign = await ids_of(target, route, theirs)
    for ids in (foreign, {**foreign, "tenant_id": never(Kind.TENANT)}):
        answer = await ask(target, route, mine, ids)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_tenant_forbidden")


@pytest.mark.parametrize(("route", "name"), NAMING_IN_PATH, ids=str)
async def test_foreign_id_in_the_path_is_like_one_that_never_existed(
    target: Target, route: Route, name: str
) -> None:
    mine, theirs = await pair(target, route.service)
    own = await ids_of(target, route, mine)
    foreign = await ids_of(target, route, theirs)
    before = await look(target, route, theirs, foreign)
    answers = [
        await ask(target, route, mine, {**own, name: value})
        for value in (foreign[name], never(ID_KINDS[name]))
    ]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])
    assert await look(target, route, theirs, foreign) == before, "and nothing happened to it"


async def look(target: Target, route: Route, party: Party, ids: dict[str, str]) -> Any:
    """The party's view of what the path names, where it can be read at all."""
    readable = next((other for other in ROUTES if (other.method, other.path) == ("GET", route.path)), None)
    if readable is None:
        return None
    answer = await ask(target, readable, party, ids)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize(("route", "name"), NAMING_IN_BODY, ids=str)
async def test_foreign_id_in_the_body_is_like_one_that_never_existed(
    target: Target, route: Route, name: str
) -> None:
    mine, theirs = await pair(target, route.service)
    kind = route.body_ids[name]
    ids = await ids_of(target, route, mine)
    current = (route.fill_body(never) or {}).get(name)
    foreign = await MAKERS[kind](target, route.service, theirs)
    answers = [
        await ask(target, route, mine, ids, body={name: named(value, current)})
        for value in (foreign, never(kind))
    ]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])


@pytest.mark.parametrize(("route", "name"), NAMING_IN_QUERY, ids=str)
async def test_foreign_id_in_the_query_is_like_one_that_never_existed(
    target: Target, route: Route, name: str
) -> None:
    mine, theirs = await pair(target, route.service)
    kind = route.query_ids[name]
    ids = await ids_of(target, route, mine)
    own = await MAKERS[kind](target, route.service, mine)
    assert (await ask(target, route, mine, ids, params={name: own})).is_success
    foreign = await MAKERS[kind](target, route.service, theirs)
    answers = [await ask(target, route, mine, ids, params={name: value}) for value in (foreign, never(kind))]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])
