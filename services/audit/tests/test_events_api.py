"""Reading the log over HTTP."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from services.audit.tests.book import (
    EMAIL,
    REQUEST,
    Book,
    actor,
    camp,
    created,
    denied,
    missed,
    provisioned,
    read,
)

from audit.event import queries
from common import clock
from common.contracts.audit import ActionRecorded
from common.contracts.envelope import Meta
from common.db.catalog import find_breaches
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, MadeTenant, bearer

URL = "/api/v1/audit/events"
SHAPE = {"event_id", "occurred_at", "recorded_at", "tenant_id", "action", "actor", "target", "outcome"}
SHAPE |= {"severity", "flags", "request", "trace_id", "source", "changes"}


@pytest.fixture
async def tenant(service: Harness) -> MadeTenant:
    return await service.make_tenant()


async def listed(service: Harness, tenant: MadeTenant, **query: Any) -> list[dict[str, Any]]:
    answer = await service.client.get(URL, params=query, headers=tenant.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_an_event_has_the_whole_shape(service: Harness, tenant: MadeTenant, book: Book) -> None:
    who = actor(tenant.owner_id)
    event = created(tenant.tenant_id).model_copy(update={"meta": Meta(actor=who, request_id="req-1")})
    change = book.envelope(event)
    context = ActionRecorded(
        tenant_id=tenant.tenant_id, event_id=change.event_id, email=EMAIL, request=REQUEST
    )
    await book.take(book.delivery(change), book.delivery(book.envelope(context)))
    (line,) = await listed(service, tenant)
    assert line.keys() == SHAPE
    assert line["event_id"] == to_text(Kind.AUDIT_EVENT, change.event_id)
    assert line["tenant_id"] == to_text(Kind.TENANT, tenant.tenant_id)
    assert (line["action"], line["outcome"], line["severity"]) == ("campaign.created", "success", "info")
    assert line["actor"] == {
        "type": "user",
        "id": who.id,
        "email": EMAIL,
        "ip": REQUEST.ip,
        "user_agent": REQUEST.user_agent,
    }
    assert line["target"] == {"type": "campaign", "id": event.subject}
    assert line["request"] == {
        "method": REQUEST.method,
        "route": REQUEST.route,
        "request_id": "req-1",
        "status": None,
    }
    assert line["trace_id"] == str(change.traceparent).split("-")[1]
    assert line["flags"] == []
    one = await service.client.get(f"{URL}/{line['event_id']}", headers=tenant.headers)
    assert one.json() == line


async def test_pages_are_newest_first_and_stable_while_more_arrives(
    service: Harness, tenant: MadeTenant, book: Book
) -> None:
    await book.tell(*(created(tenant.tenant_id) for _ in range(7)))
    now = clock.now() - timedelta(hours=1)
    await book.tell(read(tenant.tenant_id, at=now, count=5))
    expected = [line["event_id"] for line in await listed(service, tenant, limit=100)]
    assert len(expected) == 12
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "5", **({"cursor": cursor} if cursor else {})}
        page = (await service.client.get(URL, params=query, headers=tenant.headers)).json()
        seen += [line["event_id"] for line in page["data"]]
        cursor = page["next_cursor"]
        await book.tell(created(tenant.tenant_id))
    assert seen == expected


async def test_filters(service: Harness, tenant: MadeTenant, book: Book) -> None:
    ours, stranger = tenant.tenant_id, created(new_id())
    await book.tell(stranger)
    attack, denial = missed(ours, stranger.subject, "DELETE"), denied(ours, code="forbidden")
    nothing, change = missed(ours, camp()), created(ours)
    envelopes = await book.tell(attack, denial, nothing, change)
    ids = [to_text(Kind.AUDIT_EVENT, envelope.event_id) for envelope in envelopes]

    async def found(**query: Any) -> set[int]:
        return {ids.index(line["event_id"]) for line in await listed(service, tenant, **query)}

    assert await found() == {0, 1, 2, 3}
    assert await found(actor=attack.actor.id) == {0}
    assert await found(action="access.missed") == {0, 2}
    assert await found(target=change.subject) == {3}
    assert await found(outcome="success") == {3}
    assert await found(flag="cross_tenant_attempt") == {0}
    assert await found(flag="not_found") == {2}
    assert await found(flag="isolation_breach") == set()
    assert await found(severity="high") == {0}
    assert await found(severity="low") == {1, 2}
    assert await found(severity="info") == {3}
    assert await found(flag="not_found", severity="high") == set()
    assert await found(q="MALLORY") == {0, 1, 2}
    assert await found(q="mpaign.cre") == {3}
    assert await found(q="%") == set()
    assert await found(q="{campaign_id}", outcome="denied", action="access.denied") == {1}
    middle = envelopes[2].time.isoformat()
    assert await found(**{"from": middle}) == {2, 3}
    assert await found(to=middle) == {0, 1}


async def test_a_search_looks_at_a_window_at_a_time(
    service: Harness, tenant: MadeTenant, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW", 4)
    old = created(tenant.tenant_id)
    await book.tell(old)
    await book.tell(*(read(tenant.tenant_id) for _ in range(10)))
    query = {"q": old.subject, "limit": "2"}
    sizes: list[int] = []
    while query.get("cursor") != "":
        page = (await service.client.get(URL, params=query, headers=tenant.headers)).json()
        sizes.append(len(page["data"]))
        query["cursor"] = page["next_cursor"] or ""
    assert sizes == [0, 0, 1]


async def test_a_verdict_that_was_taken_back_is_no_flag(
    service: Harness, tenant: MadeTenant, book: Book
) -> None:
    birth = created(tenant.tenant_id)
    await book.tell(missed(tenant.tenant_id, birth.subject))
    assert len(await listed(service, tenant, flag="not_found")) == 1
    await book.tell(birth)
    assert await listed(service, tenant, flag="not_found") == []
    assert [line["flags"] for line in await listed(service, tenant, action="access.missed")] == [[]]


async def test_a_raised_verdict_is_listed_once(service: Harness, tenant: MadeTenant, book: Book) -> None:
    other = await service.make_tenant()
    await book.tell(denied(tenant.tenant_id, named_tenant_id=to_text(Kind.TENANT, other.tenant_id)))
    assert [line["severity"] for line in await listed(service, tenant, flag="cross_tenant_attempt")] == [
        "medium"
    ]
    await book.tell(provisioned(other.tenant_id))
    assert [line["severity"] for line in await listed(service, tenant, flag="cross_tenant_attempt")] == [
        "high"
    ]
    assert await listed(service, tenant, severity="medium") == []


async def test_the_victims_page_shows_an_external_principal(
    service: Harness, tenant: MadeTenant, book: Book
) -> None:
    mine = created(tenant.tenant_id)
    await book.tell(mine)
    await book.tell(missed(new_id(), mine.subject))
    (line,) = await listed(service, tenant, flag="cross_tenant_attempt")
    assert line["actor"] == {"type": "external", "id": None, "email": None, "ip": None, "user_agent": None}
    assert (line["action"], line["target"]) == ("access.attempted", {"type": "campaign", "id": mine.subject})
    assert (line["request"], line["trace_id"], line["changes"]) == (None, None, None)


async def test_owners_and_admins_only(service: Harness, tenant: MadeTenant, book: Book) -> None:
    (envelope,) = await book.tell(created(tenant.tenant_id))
    one = f"{URL}/{to_text(Kind.AUDIT_EVENT, envelope.event_id)}"
    for role, status in (("admin", 200), ("member", 403)):
        _, token = await service.make_user(tenant, role)  # type: ignore[arg-type]
        for url in (URL, one):
            answer = await service.client.get(url, headers=bearer(token))
            assert answer.status_code == status
    assert (await service.client.get(URL)).status_code == 401


async def test_a_foreign_event_looks_like_one_that_never_was(
    service: Harness, tenant: MadeTenant, book: Book
) -> None:
    (envelope,) = await book.tell(created(new_id()))
    answers: list[httpx.Response] = []
    for event_id in (envelope.event_id, new_id()):
        url = f"{URL}/{to_text(Kind.AUDIT_EVENT, event_id)}"
        answers.append(await service.client.get(url, headers=tenant.headers))
    assert [answer.status_code for answer in answers] == [404, 404]
    bodies = [{k: v for k, v in a.json().items() if k not in ("trace_id", "instance")} for a in answers]
    assert bodies[0] == bodies[1]
    cursor = (await service.client.get(URL, params={"cursor": "AAAA"}, headers=tenant.headers)).status_code
    assert cursor == 422


async def test_a_cursor_of_another_tenant_is_refused(
    service: Harness, tenant: MadeTenant, book: Book
) -> None:
    await book.tell(created(tenant.tenant_id), created(tenant.tenant_id))
    page = (await service.client.get(URL, params={"limit": 1}, headers=tenant.headers)).json()
    other = await service.make_tenant()
    query = {"cursor": page["next_cursor"]}
    assert (await service.client.get(URL, params=query, headers=other.headers)).status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        {"q": "a\x00b"},
        {"actor": "\x00"},
        {"severity": "worst"},
        {"flag": "none"},
        {"from": "yesterday"},
        {"from": "0001-01-01T00:00:00+23:59"},
        {"to": "9999-12-31T23:59:59-23:59"},
        {"from": "2026-11-21T00:00:00"},
        {"to": "-infinity"},
        {"to": "0.5"},
        {"from": "1767225600"},
        {"limit": "0"},
        {"cursor": "\u0000"},
        {"q": "x" * 300},
    ],
)
async def test_what_cannot_be_a_filter_is_refused(
    service: Harness, tenant: MadeTenant, query: dict[str, str]
) -> None:
    answer = await service.client.get(URL, params=query, headers=tenant.headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_reading_the_log_is_logged_once_and_feeds_nothing_back(
    service: Harness, tenant: MadeTenant, book: Book
) -> None:
    await listed(service, tenant)
    await service.kernel.access_log.flush()
    rows = await book.outbox(tenant.tenant_id)
    assert [row["type"] for row in rows] == ["penguinmails.AccessRecorded.v1"]
    (record,) = json.loads(rows[0]["data"])["records"]
    assert record["request"]["route"] == URL
    envelope = book.envelope(read(tenant.tenant_id), source="audit", data=rows[0]["data"].encode())
    await book.take(book.delivery(envelope, "penguinmails.access"))
    assert [(line["action"], line["source"]) for line in await book.lines(tenant.tenant_id)] == [
        ("access.recorded", "audit")
    ]
    assert len(await book.outbox(tenant.tenant_id)) == len(rows)


async def test_the_catalog_keeps_the_rules(book: Book) -> None:
    assert await find_breaches(book.sql, "audit") == []
