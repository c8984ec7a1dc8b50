"""Parts of `penguinmails isolation check`, before small fake installations."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from penguinmails.isolation import bodies, clean_up, compare, document, foreign_ids, leaks, typeids
from penguinmails.isolation.exchange import Answer, CannotCheck, Request, Wire
from penguinmails.isolation.findings import Account, Outcome, Report
from penguinmails.isolation.party import Party
from penguinmails.isolation.world import World

Json = dict[str, Any]
Handler = Callable[[httpx.Request], httpx.Response]


def wire(handler: Handler, seconds: float = 60) -> Wire:
    http = httpx.Client(base_url="http://installation", transport=httpx.MockTransport(handler))
    return Wire(http, time.monotonic() + seconds, "test", lambda _: None)


def nothing(_: httpx.Request) -> httpx.Response:
    return httpx.Response(404, json={"code": "not_found"})


def party(label: str, handler: Handler = nothing) -> Party:
    made = Party(label, wire(handler), company_name=f"Company {label}", token="secret")
    made.tenant_id, made.user_id = typeids.never("tenant"), typeids.never("user")
    made.learn(f"{made.tenant_id} {made.user_id}")
    return made


def world(paths: Json, handler: Handler) -> World:
    operations = document.read({"paths": paths})
    report = Report("http://installation", "enterprise")
    report.accounts = {each.name: Account(each.name, str(each)) for each in operations}
    return World(operations, party("A", handler), party("B", handler), report, lambda _: None)


def answer(status: int, body: Json, **headers: str) -> Answer:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Answer(status, named, json.dumps(body), 0.0)


TENANT_ID = {
    "name": "tenant_id",
    "in": "path",
    "schema": {"type": "string", "pattern": "^tenant_[0-7][0-9a-hjkmnp-tv-z]{25}$"},
}
COMPANY = {"type": "object", "required": ["company_name"], "properties": {"company_name": {"type": "string"}}}
DELETION = {
    "/api/v1/tenants/{tenant_id}/deletion": {
        "post": {
            "operationId": "requestDeletion",
            "security": [{"token": []}],
            "parameters": [TENANT_ID],
            "requestBody": {"content": {"application/json": {"schema": COMPANY}}},
        }
    }
}


def test_tenants_are_deleted_where_the_document_offers_it() -> None:
    asked: list[tuple[str, Json]] = []

    def installation(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"company_name": "Renamed Ltd"})
        asked.append((request.extensions["target"].decode(), json.loads(request.content)))
        return httpx.Response(202, json={})

    checked = world(DELETION, installation)
    clean_up.run(checked)
    assert asked == [
        (f"/api/v1/tenants/{each.tenant_id}/deletion", {"company_name": "Renamed Ltd"})
        for each in (checked.attacker, checked.victim)
    ]
    assert all("deletion is asked for" in left for left in checked.report.remains)


def test_tenants_that_cannot_be_deleted_are_said_to_remain() -> None:
    logs: Json = {"/api/v1/audit/events": {"get": {"security": [{"token": []}]}}}
    checked = world(logs, nothing)
    clean_up.run(checked)
    assert [left.split()[2] for left in checked.report.remains] == [
        checked.attacker.tenant_id,
        checked.victim.tenant_id,
    ]


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_asked_to_come_back_does(status: int) -> None:
    answers = [httpx.Response(status, headers={"Retry-After": "0"}), httpx.Response(200, json={"done": True})]
    got = wire(lambda _: answers.pop(0)).send(Request("GET", "/"), "token")
    assert got.fields == {"done": True}
    assert not answers


def test_who_is_asked_to_come_back_too_late_says_so() -> None:
    def busy(_: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": "3600"})

    with pytest.raises(CannotCheck, match=r"3600 s, which is past --timeout"):
        wire(busy).send(Request("GET", "/"), "token")


def test_an_installation_may_stand_below_a_path() -> None:
    asked: list[bytes] = []

    def installation(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["target"])
        return httpx.Response(200)

    below = wire(installation)
    below.http.base_url = httpx.URL("http://installation/mails")
    below.send(Request("GET", "/a/../b?c=1"), "token")
    assert asked == [b"/mails/a/../b?c=1"]


def test_time_that_is_up_ends_the_check() -> None:
    with pytest.raises(CannotCheck, match="not enough time"):
        wire(nothing, seconds=-1).send(Request("GET", "/"), "token")


def test_what_belongs_to_another_is_found_wherever_it_stands() -> None:
    owner, request = party("B"), Request("GET", "/x")
    assert leaks.found(owner, answer(200, {"a": [owner.mark]}), request)
    assert leaks.found(owner, answer(200, {}, x_debug=f"of {owner.mark}"), request)
    assert leaks.found(owner, answer(404, {"detail": owner.tenant_id}), request)
    assert leaks.found(owner, answer(404, {"detail": typeids.uuid_text(owner.tenant_id)}), request)
    assert not leaks.found(owner, answer(404, {"instance": f"/tenants/{owner.tenant_id}"}), request)
    assert not leaks.found(owner, answer(200, {"a": "b"}, location=f"/tenants/{owner.tenant_id}"), request)


def test_a_log_may_show_what_its_owner_named() -> None:
    owner, request = party("B"), Request("GET", "/x")
    shown = answer(200, {"target": owner.user_id})
    assert leaks.found(owner, shown, request)
    assert not leaks.found(owner, shown, request, leaks.of_the_log(owner, {owner.user_id}))


def test_answers_differ_in_all_that_can_be_seen() -> None:
    one = answer(404, {"detail": "No", "trace_id": "1", "instance": "/a"}, etag="x", date="today")
    assert not compare.differences(one, answer(404, {"detail": "No", "trace_id": "2"}, etag="x", date="now"))
    assert compare.differences(one, answer(403, {"detail": "No"}, etag="x", date=""))
    assert compare.differences(one, answer(404, {"detail": "Not yours"}, etag="x", date=""))
    assert compare.differences(one, answer(404, {"detail": "No"}, etag="x"))
    assert compare.differences(one, answer(404, {"detail": "No"}, etag="y", date=""))


def test_curl_lines_show_no_tokens() -> None:
    request = Request("POST", "/x?a=1", (("X-A", "eyJh.eyJi.c"),), {"refresh_token": "r_" + "x" * 30})
    line = request.curl("http://installation", "A")
    assert line == (
        'curl -i --path-as-is -X POST -H "Authorization: Bearer $A_TOKEN" '
        "-H 'Content-Type: application/json' -H 'X-A: <token>' "
        """-d '{"refresh_token": "<token>"}' 'http://installation/x?a=1'"""
    )


def test_identifiers_are_replaced_where_they_stand() -> None:
    body = {"a": [{"b": typeids.never("ws")}], "c": "text"}
    (place, kind), *rest = bodies.places(body)
    assert (place, kind, rest) == (("a", 0, "b"), "ws", [])
    assert bodies.replaced(body, place, "other") == {"a": [{"b": "other"}], "c": "text"}
    assert body["a"] != [{"b": "other"}]


def test_bodies_are_filled_from_their_schemas() -> None:
    schema: Json = {
        "required": ["name", "email", "when", "role", "count", "inner", "slug"],
        "properties": {
            "name": {"type": "string", "maxLength": 255},
            "email": {"type": "string", "format": "email"},
            "when": {"type": "string", "format": "date-time"},
            "role": {"enum": ["owner"]},
            "count": {"type": "integer", "minimum": 3},
            "inner": {"type": "object", "required": ["on"], "properties": {"on": {"type": "boolean"}}},
            "slug": {"type": "string", "pattern": "^[a-z]+$", "examples": ["spring"]},
            "user_id": {"anyOf": [{"type": "string", "pattern": "^user_[0-7]"}, {"type": "null"}]},
            "list_id": {"type": "string", "pattern": "^list_[0-7]"},
            "note": {"type": "string"},
        },
    }
    owner = party("A")
    body = bodies.fill(document.Operation("make", "POST", "/x", body=schema), owner)
    assert body is not None
    assert body.keys() == {*schema["required"], "user_id"}
    assert owner.mark in body["name"]
    assert body["email"].endswith(".example")
    assert (body["role"], body["count"], body["inner"], body["slug"]) == ("owner", 3, {"on": True}, "spring")
    assert body["user_id"] == owner.user_id


def test_what_was_not_tried_is_no_success() -> None:
    report = Report("http://installation", "enterprise")
    assert report.outcome is Outcome.HELD
    report.accounts["x"] = Account("x", "GET /x", not_tried=True)
    assert report.outcome is Outcome.NOT_DONE


def test_what_cannot_be_named_is_reported() -> None:
    contact = {"type": "string", "pattern": "^contact_[0-7]"}
    named = {"name": "contact_id", "in": "query", "schema": contact}
    body = {"type": "object", "properties": {"contact_ids": {"type": "array", "items": contact}}}
    content = {"application/json": {"schema": body}}
    paths = {
        "/a/{contact_id}": {"get": {"operationId": "a", "parameters": [{**named, "in": "path"}]}},
        "/b": {"post": {"operationId": "b", "requestBody": {"content": content}}},
        "/c": {"get": {"operationId": "c", "parameters": [named]}},
    }
    checked = world({path: _with_token(item) for path, item in paths.items()}, nothing)
    foreign_ids.in_paths(checked)
    foreign_ids.in_bodies(checked)
    foreign_ids.in_queries(checked)
    untried = {name: account.untried for name, account in checked.report.accounts.items()}
    assert untried == {
        "a": ["identifiers in its path"],
        "b": ["a contact_… in its body"],
        "c": ["?contact_id="],
    }


def _with_token(item: Json) -> Json:
    return {method: {**operation, "security": [{"token": []}]} for method, operation in item.items()}
