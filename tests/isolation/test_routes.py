"""Every route of every service, as the owner, as nobody, with forged tokens, and with the ids of others.

The routes are discovered; one that cannot be exercised as its owner needs an entry in `resources.py`.
"""

import asyncio
from typing import Any

import pytest

from common.ids import Kind
from tests.isolation import forgeries
from tests.isolation.calls import Calls, bytes_of, nobodys
from tests.isolation.resources import SPENDING, never
from tests.isolation.routes import ROUTES, Route

NAMING_IN_PATH = [
    (route, name) for route in ROUTES for name, kind in route.path_ids.items() if kind is not Kind.TENANT
]
NAMING_A_TENANT = [route for route in ROUTES if "tenant_id" in route.path_ids]
NAMING_IN_BODY = [(route, name) for route in ROUTES for name in route.body_ids]
NAMING_IN_QUERY = [(route, name) for route in ROUTES for name in route.query_ids]
AT_WHO_VERIFIES = pytest.mark.parametrize("calls", ["in_process", "at_the_services"], indirect=True)
"""The gateway looks at tokens first, and would hide a service that does not; at the gateway,
`penguinmails isolation check` tries the same."""


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_owner_succeeds(calls: Calls, route: Route) -> None:
    """The positive control: without it the refusals below prove nothing."""
    fresh = str(route) in SPENDING
    party = await calls.target.join(route.service) if fresh else (await calls.pair(route.service))[0]
    ids = await calls.ids_of(route, party)
    await calls.prepare(route, party, ids)
    answer = await calls.ask(route, party, ids)
    assert answer.is_success, answer.text


@pytest.mark.parametrize("route", ROUTES, ids=str)
@AT_WHO_VERIFIES
async def test_forged_tokens_are_refused_alike(calls: Calls, route: Route) -> None:
    mine, theirs = await calls.pair(route.service)
    ids = nobodys(route)
    without = await calls.ask(route, None, ids)
    assert without.status_code == 401
    assert without.json()["code"] == "unauthenticated"
    jwks = await calls.target.jwks(route.service)
    tokens = forgeries.without_the_key(mine.token, jwks, theirs.tenant_id)
    issuer = calls.target.issuer(route.service)
    if issuer is not None:
        tokens |= forgeries.with_the_key(issuer, forgeries.claims_of(mine.token))
    headers = {name: f"Bearer {token}" for name, token in tokens.items()}
    headers |= {"another scheme": f"Basic {mine.token}", "no scheme": mine.token, "no token": "Bearer"}
    answers = await asyncio.gather(
        *(calls.ask(route, None, ids, headers={"Authorization": value}) for value in headers.values())
    )
    for name, answer in zip(headers, answers, strict=True):
        assert answer.status_code == 401, name
        assert bytes_of(answer) == bytes_of(without), name
        assert answer.headers["www-authenticate"].startswith("Bearer"), name


@pytest.mark.parametrize("route", ROUTES, ids=str)
@AT_WHO_VERIFIES
async def test_naming_another_tenant_is_forbidden(calls: Calls, route: Route) -> None:
    """In a header, in the query, in the body: whatever else the request is."""
    mine, theirs = await calls.pair(route.service)
    ids = nobodys(route)
    if "tenant_id" in ids:
        ids["tenant_id"] = mine.tenant_id
    ways: list[dict[str, Any]] = [
        {"headers": {"X-Tenant-ID": theirs.tenant_id}},
        {"params": {"tenant_id": theirs.tenant_id}},
        {"params": [("tenant_id", mine.tenant_id), ("tenant_id", theirs.tenant_id)]},
        {"params": [("tenant_id", theirs.tenant_id), ("tenant_id", mine.tenant_id)]},
    ]
    if route.body is not None:
        ways.append({"body": {"tenant_id": theirs.tenant_id}})
    for way in ways:
        answer = await calls.ask(route, mine, ids, **way)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_tenant_forbidden"), way


@pytest.mark.parametrize("route", NAMING_A_TENANT, ids=str)
async def test_another_tenant_in_the_path_is_forbidden(calls: Calls, route: Route) -> None:
    mine, theirs = await calls.pair(route.service)
    foreign = await calls.ids_of(route, theirs)
    answers = [
        await calls.ask(route, mine, ids) for ids in (foreign, {**foreign, "tenant_id": never(Kind.TENANT)})
    ]
    assert answers[0].status_code == 403
    assert answers[0].json()["code"] == "cross_tenant_forbidden"
    assert bytes_of(answers[0]) == bytes_of(answers[1]), "whether it exists cannot be told"


@pytest.mark.parametrize(("route", "name"), NAMING_IN_PATH, ids=str)
async def test_foreign_id_in_the_path_is_like_one_that_never_existed(
    calls: Calls, route: Route, name: str
) -> None:
    mine, theirs = await calls.pair(route.service)
    own = await calls.ids_of(route, mine)
    foreign = await calls.ids_of(route, theirs)
    before = await calls.look(route, theirs, foreign)
    answers = [
        await calls.ask(route, mine, {**own, name: value}) for value in (foreign[name], nobodys(route)[name])
    ]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])
    assert await calls.look(route, theirs, foreign) == before, "and nothing happened to it"


@pytest.mark.parametrize(("route", "name"), NAMING_IN_BODY, ids=str)
async def test_foreign_id_in_the_body_is_like_one_that_never_existed(
    calls: Calls, route: Route, name: str
) -> None:
    mine, theirs = await calls.pair(route.service)
    kind = route.body_ids[name]
    ids = await calls.ids_of(route, mine)
    own = await calls.make(route.service, mine, kind)
    control = await calls.ask(route, mine, ids, body=route.name_in_body(name, own))
    assert control.status_code not in (403, 404), control.text
    foreign = await calls.make(route.service, theirs, kind)
    answers = [
        await calls.ask(route, mine, ids, body=route.name_in_body(name, value))
        for value in (foreign, never(kind))
    ]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])


@pytest.mark.parametrize(("route", "name"), NAMING_IN_QUERY, ids=str)
async def test_foreign_id_in_the_query_is_like_one_that_never_existed(
    calls: Calls, route: Route, name: str
) -> None:
    mine, theirs = await calls.pair(route.service)
    kind = route.query_ids[name]
    ids = await calls.ids_of(route, mine)
    own = await calls.make(route.service, mine, kind)
    assert (await calls.ask(route, mine, ids, params={name: own})).is_success
    foreign = await calls.make(route.service, theirs, kind)
    answers = [await calls.ask(route, mine, ids, params={name: value}) for value in (foreign, never(kind))]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])
