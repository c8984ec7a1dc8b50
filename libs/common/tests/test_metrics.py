"""Metrics of the kernel: what is measured, and that nobody outside chooses a label."""

import asyncio
from collections.abc import AsyncIterator
from typing import get_args

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Response
from libs.common.tests.backbone import Databases
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from tests.e2e.client import eventually

from common import metric_names, metrics
from common.bus.brake import Brake
from common.bus.offsets import Progress
from common.bus.soundings import Soundings
from common.context import SystemContext
from common.db.session import Database
from common.ids import new_id
from common.metric_names import METRICS, Metric
from common.metrics import Reading
from common.settings import ServiceSettings
from common.testing.measuring import measure, value_of
from common.web.middleware import RequestMiddleware
from common.web.ratelimit import CountedFor

HTTP = metric_names.HTTP_SERVER_REQUEST_DURATION


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Of an application with one route, inside the middleware of all services."""
    app = FastAPI(redirect_slashes=False, telemetry={"tracing": False, "metrics": False, "logs": False})

    async def answer(thing_id: str) -> Response:
        return Response(status_code=503 if thing_id == "away" else 200)

    app.add_api_route("/things/{thing_id}", answer, methods=["GET", "POST"])
    transport = httpx.ASGITransport(app=RequestMiddleware(app, asyncio.Event()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_requests_are_measured_by_route_method_and_status(client: httpx.AsyncClient) -> None:
    def count(method: str, status: int) -> float:
        labels = {"http.request.method": method, "http.response.status_code": status}
        route = {"http.route": "/things/{thing_id}"}
        return sum(
            value
            for series, value in measure().get(HTTP.name, {}).items()
            if {*labels.items(), *route.items()} <= series
        )

    before = [count("GET", 200), count("POST", 200), count("GET", 503)]
    for number in range(3):
        await client.get(f"/things/{number}")
    await client.post("/things/1")
    await client.get("/things/away")
    assert [count("GET", 200), count("POST", 200), count("GET", 503)] == [
        before[0] + 3,
        before[1] + 1,
        before[2] + 1,
    ]
    assert value_of(HTTP, error__type="503") >= 1


HOSTILE = (
    "%00",
    "..%2f",
    "{thing_id}",
    "ada@acme.example",
    "tenant_01k9zq3v8mf5ra6y3h1r2c4d5e",
    "a" * 2000,
    "\U0001f427",
)


async def test_nothing_a_caller_chooses_becomes_a_label(client: httpx.AsyncClient) -> None:
    await client.get("/things/1")
    await client.request("HACK", "/things/1")
    await client.get("/nowhere")
    before = set(measure()[HTTP.name])
    for number, text_ in enumerate(HOSTILE):
        await client.get(f"/things/{text_}", headers={"Host": text_.encode(), "X-Tenant-Id": text_.encode()})
        await client.get(f"/nowhere/{text_}?{text_}={text_}", headers={"traceparent": text_.encode()})
        await client.request(f"HACK{number}", f"/{text_}")
        await client.request(f"HACK{number}", "/things/1", headers={"X-Forwarded-Proto": f"h{number}"})
    told = {str(value) for series in set(measure()[HTTP.name]) - before for _, value in series}
    assert told <= {"GET", "_OTHER", "http", "200", "404", "405", "/things/{thing_id}"}
    assert len(set(measure()[HTTP.name]) - before) <= 4


def test_series_have_the_labels_that_are_told_of_them() -> None:
    undeclared = {
        (name, key)
        for name, series in measure().items()
        for labels in series
        for key, _ in labels
        if key not in METRICS[name].labels
    }
    assert not undeclared


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_no_metric_knows_tenants_or_people(metric: Metric) -> None:
    assert not [
        label for label in metric.labels if any(word in label for word in ("tenant", "user", "request.id"))
    ]
    assert metric.text
    assert list(metric.buckets) == sorted(metric.buckets)
    assert bool(metric.buckets) == (metric.kind == "histogram")


def test_counters_are_there_before_anything_is_counted() -> None:
    assert value_of(metric_names.READS_LOST) == 0
    measured = measure()
    assert {"refused", "unknown", "wall", "privilege"} <= {
        value for series in measured[metric_names.ENTRY_DENIALS.name] for _, value in series
    }
    assert len(measured[metric_names.RATE_LIMIT_REFUSED.name]) == len(get_args(CountedFor))


def test_what_is_not_measured_any_more_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    measure()
    seconds = Metric("tests.reading", "gauge", "s", "A reading", ("app.consumer",))
    reading = Reading(seconds)
    reading.note_all({"a": 1.0, "b": 2.0})
    assert sorted(measure()["tests.reading"].values()) == [1.0, 2.0]
    reading.note_all({"b": 3.0})
    assert list(measure()["tests.reading"].values()) == [3.0]
    monkeypatch.setattr(metrics, "_NOTED_SECONDS", -1.0)
    assert "tests.reading" not in measure()


async def test_the_event_loop_is_watched() -> None:
    before = value_of(metric_names.EVENT_LOOP_DELAY)
    watching = asyncio.create_task(metrics.watch_event_loop())

    async def measured() -> bool:
        return value_of(metric_names.EVENT_LOOP_DELAY) > before

    await eventually(measured)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


# Database ----------------------------------------------------------------------------------------------


def job() -> SystemContext:
    return SystemContext(new_id(), "job", "workspaces")


async def test_the_pool_shows_its_connections_and_who_waits(service_database: Databases) -> None:
    made = await service_database("workspaces")
    database = Database(made.app_url, made.tenancy_key, pool_size=1, pool_timeout=0.05)
    other = Database(made.app_url, made.tenancy_key)  # a second pool hides nothing of the first
    try:
        before = value_of(metric_names.DB_CONNECTION_WAIT), value_of(metric_names.DB_CONNECTION_TIMEOUTS)
        async with database.tenant(job()):
            assert value_of(metric_names.DB_CONNECTIONS, db__client__connection__state="used") >= 1
            with pytest.raises(PoolTimeout):
                async with database.tenant(job()):
                    raise AssertionError("there is one connection only")
        after = value_of(metric_names.DB_CONNECTION_WAIT), value_of(metric_names.DB_CONNECTION_TIMEOUTS)
        assert after == (before[0] + 2, before[1] + 1)
        async with database.tenant(job()):
            pass
        assert value_of(metric_names.DB_CONNECTION_WAIT) == after[0], "an idle connection is no wait"
    finally:
        await other.close()
        await database.close()


@pytest.mark.parametrize(
    ("reason", "statement"),
    [
        (
            "wall",
            "INSERT INTO tenancy.idempotency_keys (tenant_id, principal, route, key, request_hash) "
            "VALUES (gen_random_uuid(), 'p', 'r', 'k', '')",
        ),
        ("privilege", "SELECT * FROM tenancy.outbox"),
    ],
)
async def test_what_the_database_refuses_is_counted(database: Database, reason: str, statement: str) -> None:
    before = value_of(metric_names.ENTRY_DENIALS, app__reason=reason)
    async with database.tenant(job()) as session:
        with pytest.raises(DBAPIError):
            await session.execute(text(statement))
    assert value_of(metric_names.ENTRY_DENIALS, app__reason=reason) == before + 1


_WAITING = """
INSERT INTO tenancy.outbox (tenant_id, event_id, topic, type, subject, data, occurred_at, parked_at)
SELECT gen_random_uuid(), gen_random_uuid(), 'penguinmails.users', 't', 's', '{}',
    clock_timestamp() - (5 - i) * interval '1 minute', CASE WHEN i = 1 THEN now() END
FROM generate_series(1, 3) AS i ORDER BY i;
INSERT INTO tenancy.dead_letters
    (tenant_id, consumer, event_id, topic, type, subject, envelope, reason, attempts, holds, waiting)
SELECT gen_random_uuid(), 'workspaces', gen_random_uuid(), 'x', 't', 's', '{}', 'r', 1, true, i > 1
FROM generate_series(1, 3) AS i;
"""


async def test_outbox_and_dead_letters_are_measured_from_their_tables(service_database: Databases) -> None:
    made = await service_database("workspaces")
    settings = ServiceSettings(
        database_url=made.app_url,
        relay_database_url=made.relay_url,
        tenancy_key=made.tenancy_key,  # type: ignore[arg-type]
        link_secret="00" * 32,  # type: ignore[arg-type]
    )
    soundings = Soundings("workspaces", settings)
    relay, all_powerful = await asyncpg.connect(made.relay_url), await asyncpg.connect(made.superuser_url)
    try:
        await soundings.take(relay)
        undone = all_powerful.transaction()
        await undone.start()
        await all_powerful.execute("DELETE FROM tenancy.outbox")
        await soundings.take(all_powerful)
        assert value_of(metric_names.OUTBOX_DEPTH) == value_of(metric_names.OUTBOX_AGE) == 0
        assert value_of(metric_names.DEAD_LETTERS, app__consumer="workspaces") == 0
        await all_powerful.execute(_WAITING)
        await soundings.take(all_powerful)
        assert value_of(metric_names.OUTBOX_DEPTH) == 2
        assert value_of(metric_names.OUTBOX_PARKED) == 1
        assert 180 <= value_of(metric_names.OUTBOX_AGE) < 240
        assert value_of(metric_names.DEAD_LETTERS, app__consumer="workspaces") == 1
        assert value_of(metric_names.DEAD_LETTERS_WAITING, app__consumer="workspaces") == 2
        await undone.rollback()
    finally:
        await relay.close()
        await all_powerful.close()


# Consumers ---------------------------------------------------------------------------------------------


def test_the_oldest_in_flight_tells_since_when_a_partition_waits() -> None:
    progress = Progress(epoch=1, next_offset=5, stored=5, fetched=5)
    assert progress.waiting_since() is None
    for offset, published in ((5, 1000), (6, 2000), (7, 3000)):
        progress.started(offset, published, 100)
    progress.finished(6)
    assert (progress.waiting_since(), progress.next_offset, progress.held) == (1000, 5, 200)
    progress.finished(5)
    assert (progress.waiting_since(), progress.next_offset, progress.held) == (3000, 7, 100)
    progress.finished(7)
    assert (progress.waiting_since(), progress.next_offset, progress.held) == (None, 8, 0)


def test_what_is_done_behind_one_that_waits_takes_no_memory() -> None:
    progress = Progress(epoch=1, next_offset=0, stored=0)
    progress.started(0, 1000, 100)
    for offset in range(1, 5001):
        progress.started(offset, 1000, 100)
        progress.finished(offset)
    assert (progress.next_offset, progress.held) == (0, 100)
    assert len(progress._order) < 2000
    progress.finished(0)
    assert progress.next_offset == 5001


def test_a_log_that_begins_anew_takes_the_position_back() -> None:
    progress = Progress(epoch=1, next_offset=900, stored=900, fetched=900)
    for offset in (900, 901, 3, 4, 3):
        progress.started(offset, 1000, 100)
    progress.finished(900)
    assert (progress.next_offset, progress.held) == (3, 300)
    for offset in (3, 901, 4):
        progress.finished(offset)
    assert (progress.next_offset, progress.held) == (progress.fetched, 0)


async def test_burials_and_stops_are_shown() -> None:
    brake = Brake("tests-brake", limit=1)
    assert value_of(metric_names.EVENTS_BURIED, app__consumer="tests-brake") == 0
    brake.note_burial()
    assert value_of(metric_names.CONSUMER_STOPPED, app__consumer="tests-brake") == 0
    brake.note_burial()
    assert value_of(metric_names.EVENTS_BURIED, app__consumer="tests-brake") == 2
    assert value_of(metric_names.CONSUMER_STOPPED, app__consumer="tests-brake") == 1
