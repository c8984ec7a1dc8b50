"""What one caller was given does nothing in another's hands: cursors, idempotency keys, cached answers."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from common.context import SystemContext
from common.db.idempotency import KeyedRequest
from common.errors import IdempotencyInProgress
from common.ids import Kind, parse
from common.testing.harness import Harness
from common.web.idempotency import HEADER
from common.web.openapi import operations
from tests.isolation.calls import Calls, bytes_of
from tests.isolation.installation import World
from tests.isolation.resources import SPENDING
from tests.isolation.routes import ROUTES, Route
from tests.isolation.seeds import sign_in
from tests.isolation.services import SERVICES, idle_kernel, service_of
from tests.isolation.targets import Party

LISTS = [route for route in ROUTES if "cursor" in route.query]
BESIDE_OTHERS = [route for route in LISTS if [other.service for other in LISTS].count(route.service) > 1]
READS = [route for route in ROUTES if route.method == "GET"]
_KEYED = {
    f"{operation.method.upper()} {operation.route.path_format}"
    for name in SERVICES
    for operation in operations(name, service_of(name).create_app(idle_kernel(service_of(name))))
    if operation.is_keyed
}
KEYED = [route for route in ROUTES if f"{route.method} {route.path}" in _KEYED and str(route) not in SPENDING]

Filler = Callable[[Calls, Party, dict[str, str]], Awaitable[object]]


async def _sign_in_again(calls: Calls, party: Party, ids: dict[str, str]) -> None:
    harness: Harness = calls.target.harness("auth")  # type: ignore[attr-defined]
    await sign_in(harness, calls.target.tenant(party))  # type: ignore[attr-defined]


async def _add_to_list(calls: Calls, party: Party, ids: dict[str, str]) -> None:
    contact = await calls.make("campaigns", party, Kind.CONTACT)
    path, body = f"/api/v1/lists/{ids['list_id']}/contacts", {"contact_ids": [contact]}
    answer = await calls.target.client("campaigns").post(path, headers=party.headers, json=body)
    assert answer.is_success, answer.text


async def _have_three(calls: Calls, party: Party, ids: dict[str, str]) -> None:
    """The scripted Stripe has three invoices of everybody's."""


ROWS: dict[str, Filler] = {
    "GET /auth/sessions": _sign_in_again,
    "GET /users": lambda calls, party, ids: calls.target.colleague(party),
    "GET /audit/events": lambda calls, party, ids: calls.target.audit_event(party),
    "GET /lists/{list_id}/contacts": _add_to_list,
    "GET /billing/invoices": _have_three,
}
"""How a list comes by one more row, where its rows are not POSTed to its own path."""


async def fill(calls: Calls, route: Route, party: Party) -> dict[str, str]:
    """Give the list at least two rows of the party's; returns the ids of its path."""
    ids = await calls.ids_of(route, party)
    filler = ROWS.get(str(route))
    for _ in range(2):
        if filler is not None:
            await filler(calls, party, ids)
        else:
            await calls.make(route.service, party, calls.kind_in(route.path))
    return ids


async def cursor_of(calls: Calls, route: Route, party: Party, ids: dict[str, str]) -> str:
    """The cursor after the first row of the party's list."""
    answer = await calls.ask(route, party, ids, params={"limit": 1})
    cursor = answer.json()["next_cursor"]
    assert cursor is not None, f"{route} needs a recipe in ROWS that gives it two rows"
    return str(cursor)


@pytest.mark.parametrize("route", LISTS, ids=str)
async def test_cursor_of_another_tenant_opens_nothing(in_process: Calls, route: Route) -> None:
    calls = in_process
    mine, theirs = await calls.pair(route.service)
    own = await fill(calls, route, mine)
    cursor = await cursor_of(calls, route, mine, own)
    assert (await calls.ask(route, mine, own, params={"cursor": cursor})).is_success, "the positive control"
    foreign = await cursor_of(calls, route, theirs, await fill(calls, route, theirs))
    changed = cursor[:-1] + ("A" if cursor[-1] != "A" else "Q")
    moved = ("B" if cursor[0] != "B" else "C") + cursor[1:]
    answers = [
        await calls.ask(route, mine, own, params={"cursor": text})
        for text in (foreign, changed, moved, "garbage", cursor[:22])
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), answer.text
        assert bytes_of(answer) == bytes_of(answers[0]), "whose it is cannot be told"


@pytest.mark.parametrize("route", BESIDE_OTHERS, ids=str)
async def test_cursor_of_another_list_opens_nothing(in_process: Calls, route: Route) -> None:
    calls = in_process
    others = [other for other in LISTS if other.service == route.service and other is not route]
    mine, _ = await calls.pair(route.service)
    cursor = await cursor_of(calls, route, mine, await fill(calls, route, mine))
    for other in others:
        ids = await calls.ids_of(other, mine)
        answer = await calls.ask(other, mine, ids, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), str(other)


@pytest.mark.parametrize("route", KEYED, ids=str)
async def test_idempotency_key_of_another_answers_nothing(in_process: Calls, route: Route) -> None:
    """Neither of another tenant nor of another user of the same tenant; each with the very same request."""
    calls = in_process
    mine, theirs = await calls.pair(route.service)
    harness: Harness = calls.target.harness(route.service)  # type: ignore[attr-defined]
    colleague_id, token = await harness.make_user(calls.target.tenant(mine), "admin")  # type: ignore[attr-defined]
    colleague = Party(mine.tenant_id, str(colleague_id), mine.workspace_id, mine.session_id, token)
    headers = {HEADER: str(uuid4())}
    ids = await calls.ids_of(route, mine)
    await calls.prepare(route, mine, ids)
    body = await calls.body_of(route, mine)
    first = await calls.ask(route, mine, ids, headers=headers, body=body)
    again = await calls.ask(route, mine, ids, headers=headers, body=body)
    assert first.is_success, first.text
    assert again.headers["Idempotent-Replayed"] == "true", "the positive control"
    assert again.content == first.content
    for other in (theirs, colleague):
        answer = await calls.ask(route, other, ids, headers=headers, body=body)
        assert "Idempotent-Replayed" not in answer.headers
        assert answer.json().get("code") not in ("idempotency_key_reused", "idempotency_in_progress")


async def test_running_request_of_another_tenant_holds_no_key(
    worlds: Callable[[str], Awaitable[World]],
) -> None:
    world = await worlds("campaigns")
    keyed = KeyedRequest.of("somebody", "/route", str(uuid4()), b"request")
    database = world.harness.kernel.database
    mine, theirs = (SystemContext(t.tenant_id, "job", "campaigns") for t in (world.mine, world.theirs))
    async with database.tenant(mine) as running:
        assert await keyed.find_answer(running) is None
        async with database.tenant(theirs) as other:
            assert await keyed.find_answer(other) is None
        async with database.tenant(mine) as second:
            with pytest.raises(IdempotencyInProgress):
                await keyed.find_answer(second)


@pytest.mark.parametrize("route", READS, ids=str)
async def test_no_cache_between_may_keep_an_answer_for_others(calls: Calls, route: Route) -> None:
    """A shared cache keeps an answer to an authenticated request only if told so (RFC 9111, 3.5)."""
    mine, _ = await calls.pair(route.service)
    answer = await calls.ask(route, mine, await calls.ids_of(route, mine))
    assert answer.is_success, answer.text
    allowed = {part.strip().partition("=")[0] for part in answer.headers.get("Cache-Control", "").split(",")}
    assert not allowed & {"public", "s-maxage", "must-revalidate"}


@pytest.mark.parametrize("route", READS, ids=str)
async def test_answers_alternate_with_their_callers(in_process: Calls, route: Route) -> None:
    """Asked by turns, each gets the own answer: nothing between route and database remembers the other's."""
    calls = in_process
    parties = await calls.pair(route.service)
    ids = [await calls.ids_of(route, party) for party in parties]
    for _ in range(2):
        answers = [await calls.ask(route, party, own) for party, own in zip(parties, ids, strict=True)]
        assert all(answer.is_success for answer in answers)
        for answer, (party, stranger) in zip(answers, (parties, parties[::-1]), strict=True):
            assert stranger.tenant_id not in answer.text
            assert str(parse(Kind.TENANT, stranger.tenant_id)) not in answer.text
            assert stranger.workspace_id not in answer.text
            assert stranger.user_id not in answer.text, party.tenant_id
