"""What is written about requests: every miss and denial, for its caller only, in records, logs and spans."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from common import telemetry
from common.contracts.audit import AccessDenied, AccessMissed, AccessRecorded
from common.contracts.envelope import Event
from common.ids import Kind, parse
from tests.isolation.calls import Calls, nobodys
from tests.isolation.installation import World
from tests.isolation.resources import never
from tests.isolation.routes import ROUTES, Route
from tests.isolation.targets import Party
from tests.isolation.test_routes import NAMING_A_TENANT, NAMING_IN_PATH

Json = dict[str, Any]
_WRITTEN = "SELECT data FROM tenancy.outbox WHERE id > $1 AND tenant_id = $2 AND type = $3 ORDER BY id"
_FOREIGN = "SELECT DISTINCT tenant_id FROM tenancy.outbox WHERE id > $1"


class Outbox:
    """What a service wrote since the test began."""

    def __init__(self, connection: asyncpg.Connection, start: int) -> None:
        self._connection, self._start = connection, start

    async def of(self, party: Party, cls: type[Event]) -> list[Json]:
        tenant = parse(Kind.TENANT, party.tenant_id)
        rows = await self._connection.fetch(_WRITTEN, self._start, tenant, cls.ce_type())
        return [json.loads(row["data"]) for row in rows]

    async def tenants(self) -> set[UUID]:
        """Whoever had anything written."""
        return {row[0] for row in await self._connection.fetch(_FOREIGN, self._start)}


@pytest.fixture
def outbox_of(worlds: Callable[[str], Awaitable[World]]) -> Callable[[str], Any]:
    """Call it with a service's name: its outbox from now on."""

    @asynccontextmanager
    async def opened(service: str) -> AsyncIterator[Outbox]:
        world = await worlds(service)
        await world.harness.kernel.access_log.flush()
        connection = await asyncpg.connect(world.database.superuser_url)
        try:
            last = await connection.fetchval("SELECT coalesce(max(id), 0) FROM tenancy.outbox")
            yield Outbox(connection, last)
        finally:
            await connection.close()

    return opened


@pytest.mark.parametrize(("route", "name"), NAMING_IN_PATH, ids=str)
async def test_every_miss_is_recorded_for_the_caller_only(
    in_process: Calls, outbox_of: Callable[[str], Any], route: Route, name: str
) -> None:
    mine, theirs = await in_process.pair(route.service)
    own, foreign = await in_process.ids_of(route, mine), await in_process.ids_of(route, theirs)
    async with outbox_of(route.service) as outbox:
        answer = await in_process.ask(route, mine, {**own, name: foreign[name]})
        assert answer.status_code == 404, answer.text
        records = await outbox.of(mine, AccessMissed)
        assert [record["target"]["id"] for record in records] == [foreign[name]]
        assert records[0]["actor"]["id"] == mine.user_id
        assert records[0]["request"]["route"] == route.path
        assert await outbox.of(theirs, AccessMissed) == []


async def test_misses_at_once_are_recorded_for_their_own_callers(
    in_process: Calls, outbox_of: Callable[[str], Any]
) -> None:
    route = next(route for route in ROUTES if str(route) == "GET /campaigns/{campaign_id}")
    parties = await in_process.pair(route.service)
    asked = [(party, never(Kind.CAMPAIGN)) for _ in range(10) for party in parties]
    async with outbox_of(route.service) as outbox:
        asking = (in_process.ask(route, party, {"campaign_id": wanted}) for party, wanted in asked)
        answers = await asyncio.gather(*asking)
        assert {answer.status_code for answer in answers} == {404}
        for party in parties:
            records = await outbox.of(party, AccessMissed)
            assert {record["actor"]["id"] for record in records} == {party.user_id}
            targets = sorted(record["target"]["id"] for record in records)
            assert targets == sorted(wanted for whose, wanted in asked if whose is party)


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_every_denial_is_recorded_for_the_caller_only(
    in_process: Calls, outbox_of: Callable[[str], Any], route: Route
) -> None:
    mine, theirs = await in_process.pair(route.service)
    ids = nobodys(route)
    if "tenant_id" in ids:
        ids["tenant_id"] = theirs.tenant_id if route in NAMING_A_TENANT else mine.tenant_id
    async with outbox_of(route.service) as outbox:
        answer = await in_process.ask(route, mine, ids, headers={"X-Tenant-ID": theirs.tenant_id})
        assert answer.status_code == 403, answer.text
        (record,) = await outbox.of(mine, AccessDenied)
        assert (record["named_tenant_id"], record["actor"]["id"]) == (theirs.tenant_id, mine.user_id)
        assert await outbox.of(theirs, AccessDenied) == []


async def test_reads_by_turns_are_recorded_for_their_own_callers(
    in_process: Calls, outbox_of: Callable[[str], Any], worlds: Callable[[str], Awaitable[World]]
) -> None:
    for service in {route.service for route in ROUTES}:
        route = next(r for r in ROUTES if r.service == service and r.method == "GET")
        parties = await in_process.pair(service)
        ids = [await in_process.ids_of(route, party) for party in parties]
        async with outbox_of(service) as outbox:
            for _ in range(3):
                for party, own in zip(parties, ids, strict=True):
                    assert (await in_process.ask(route, party, own)).is_success
            await (await worlds(service)).harness.kernel.access_log.flush()
            for party in parties:
                events = await outbox.of(party, AccessRecorded)
                actors = [record["actor"]["id"] for event in events for record in event["records"]]
                assert actors == [party.user_id] * 3, service


# Logs and traces ---------------------------------------------------------------------------------------


class Lines(logging.Handler):
    """Log lines as they would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(telemetry.JsonFormatter("tests"))
        self.printed: list[Json] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.printed.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Any:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer("tests"))
    return exporter


async def test_lines_and_spans_name_their_own_caller_only(
    in_process: Calls, lines: Lines, spans: InMemorySpanExporter
) -> None:
    """Requests of two tenants and of nobody, after each other in one task and side by side in many."""
    route = next(route for route in ROUTES if str(route) == "GET /campaigns")
    mine, theirs = await in_process.pair(route.service)
    callers: dict[str, Party | None] = {}

    async def ask(number: int, party: Party | None) -> None:
        name = f"request-{number:04}"
        callers[name] = party
        await in_process.ask(route, party, {}, headers={"X-Request-Id": name})

    turns = [mine, None, theirs, None, mine, theirs]
    for number, party in enumerate(turns):
        await ask(number, party)
    await asyncio.gather(*(ask(100 + number, turns[number % 6]) for number in range(24)))
    told = [line for line in lines.printed if line.get("request_id") in callers]
    assert {line["request_id"] for line in told} == callers.keys()
    for line in told:
        party = callers[line["request_id"]]
        assert line.get("tenant_id") == (party.tenant_id if party else None), line
        assert line.get("user_id") == (party.user_id if party else None), line
    served = [span for span in spans.get_finished_spans() if "http.route" in (span.attributes or {})]
    assert len(served) == len(callers)
    for span in served:
        attributes = dict(span.attributes or {})
        party = callers[str(attributes["app.request.id"])]
        assert attributes.get("app.tenant.id") == (party.tenant_id if party else None)
    trace_of = {span.context.trace_id: dict(span.attributes or {}) for span in served if span.context}
    assert len(trace_of) == len(callers), "no two requests share a trace"


async def test_lines_and_spans_hold_no_words_of_people(
    in_process: Calls, lines: Lines, spans: InMemorySpanExporter
) -> None:
    route = next(route for route in ROUTES if str(route) == "POST /contacts")
    mine, _ = await in_process.pair(route.service)
    answer = await in_process.ask(
        route, mine, {}, body={"email": "secretive@people.example", "name": "Zora Q"}
    )
    assert answer.is_success, answer.text
    again = await in_process.ask(route, mine, {}, body={"email": "secretive@people.example"})
    assert again.status_code == 409, "a refusal that the database words with the value"
    text = json.dumps(lines.printed) + "".join(span.to_json() for span in spans.get_finished_spans())
    assert spans.get_finished_spans()
    for secret in ("secretive", "Zora", mine.token, mine.token.rpartition(".")[2]):
        assert secret not in text
