"""From the broker's records to rows of the log."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from services.audit.tests.book import REQUEST, Book, created, denied, missed, read

from common import clock, telemetry
from common.contracts import envelope
from common.contracts.audit import ActionRecorded
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text


async def test_a_redelivered_event_adds_nothing(book: Book, ours: UUID) -> None:
    events = [created(ours), read(ours, count=3), missed(ours, to_text(Kind.CAMPAIGN, new_id()))]
    deliveries = [book.delivery(book.envelope(event), event.TOPIC) for event in events]
    assert await book.take(*deliveries) == deliveries
    before = await book.lines(ours)
    assert len(before) == 5
    assert await book.take(*deliveries, *reversed(deliveries)) == [*deliveries, *reversed(deliveries)]
    assert await book.lines(ours) == before


async def test_one_batch_holds_events_of_many_tenants(book: Book) -> None:
    tenants = [new_id() for _ in range(20)]
    await book.tell(*(created(tenant) for tenant in tenants))
    for tenant in tenants:
        assert [line["action"] for line in await book.lines(tenant)] == ["campaign.created"]


@pytest.mark.parametrize("context_first", [True, False])
async def test_the_request_behind_a_change_joins_it(book: Book, ours: UUID, context_first: bool) -> None:
    change = book.envelope(created(ours))
    context = ActionRecorded(tenant_id=ours, event_id=change.event_id, email="a@b.example", request=REQUEST)
    deliveries = [book.delivery(change), book.delivery(book.envelope(context), context.TOPIC)]
    for delivery in reversed(deliveries) if context_first else deliveries:
        await book.take(delivery)
    (line,) = await book.lines(ours)
    assert (line["action"], line["context_ip"]) == ("campaign.created", REQUEST.ip)


async def test_unreadable_records_are_kept_raw_and_block_nothing(book: Book, ours: UUID) -> None:
    topic = f"penguinmails.test-{new_id().hex}"
    good = book.envelope(created(ours))
    bad = [
        book.raw(topic, [], None, b"\x00garbage"),
        book.raw(topic, [("ce_id", b"x")], b"k", None),
        book.raw(topic, [*good.headers()[:-1], ("traceparent", None)], good.key, good.data),
        book.delivery(replace(good, source="a\x00b"), topic),
        book.delivery(replace(good, sequence=2**70), topic),
        book.delivery(replace(good, sequence=0), topic),
    ]
    deliveries = [*bad, book.delivery(good)]
    assert await book.take(*deliveries) == deliveries
    assert await book.take(*bad) == bad
    kept = await book.quarantine("unreadable", topic)
    assert len(kept) == len(bad)
    assert (kept[0]["tenant_id"], kept[0]["value"]) == (PLATFORM_TENANT, b"\x00garbage")
    assert len(await book.lines(ours)) == 1


async def test_events_that_lie_are_kept_raw(book: Book, ours: UUID, theirs: UUID) -> None:
    topic = f"penguinmails.test-{new_id().hex}"
    event = created(ours)
    now = clock.now()
    lies = {
        "contract_broken": book.envelope(event, data=b'{"tenant_id": 7}'),
        "unknown_type": book.envelope(event, type="penguinmails.FutureThing.v9"),
        "tenant_mismatch": book.envelope(event, tenant_id=theirs),
        "skewed_time": book.envelope(event, time=now + timedelta(days=2)),
    }
    await book.take(*(book.delivery(lie, topic) for lie in lies.values()))
    for reason, lie in lies.items():
        (kept,) = await book.quarantine(reason, topic)
        assert kept["tenant_id"] == lie.tenant_id
    assert await book.lines(ours) == []


@pytest.mark.parametrize("age", [timedelta(days=-2), timedelta(days=40)])
async def test_times_beyond_the_log_are_kept_raw(book: Book, ours: UUID, age: timedelta) -> None:
    event = read(ours, at=clock.now() - age)
    topic = f"penguinmails.test-{new_id().hex}"
    await book.take(book.delivery(book.envelope(event), topic))
    assert len(await book.quarantine("skewed_time", topic)) == 1


async def test_a_late_event_gets_the_partition_of_its_own_day(book: Book, ours: UUID) -> None:
    moment = clock.now() - timedelta(days=20)
    event = read(ours, at=moment)
    await book.tell(event)
    (line,) = await book.lines(ours)
    assert line["occurred_at"] == moment
    partition = f"events_{moment:%Y%m%d}"
    assert await book.sql.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE relname = $1", partition)


async def test_poison_is_found_by_halving(book: Book, ours: UUID) -> None:
    topic = f"penguinmails.test-{new_id().hex}"
    poison = denied(ours, status=2**40)
    deliveries = [book.delivery(book.envelope(created(ours)), topic) for _ in range(13)]
    for place in (3, 7, 9):
        deliveries[place] = book.delivery(book.envelope(poison), topic)
    done = await book.take(*deliveries)
    assert done == deliveries
    kept = await book.quarantine("DataError", topic)
    assert [row["position"] for row in kept] == [deliveries[place].record.offset for place in (3, 7, 9)]
    assert len(await book.lines(ours)) == 10


async def test_while_the_database_is_away_nothing_is_skipped(book: Book, ours: UUID) -> None:
    await book.tell(created(ours))
    locker = await asyncpg.connect(book.database.superuser_url)
    lock = locker.transaction()
    await lock.start()
    await locker.execute("LOCK TABLE audit.ownership IN ACCESS EXCLUSIVE MODE")
    deliveries = [book.delivery(book.envelope(created(ours))) for _ in range(5)]
    taking = asyncio.create_task(book.take(*deliveries))
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = $1 AND usename = 'audit_ingest' AND wait_event_type = 'Lock'"
    )
    killed = 0
    while killed < 3:
        killed += len(await book.sql.fetch(kill, book.database.name))
    assert not taking.done()
    await lock.rollback()
    await locker.close()
    assert await taking == deliveries
    assert len(await book.lines(ours)) == 6


async def test_a_cancelled_batch_leaves_nothing_and_comes_again(book: Book, ours: UUID) -> None:
    delivery = book.delivery(book.envelope(created(ours)))
    locker = await asyncpg.connect(book.database.superuser_url)
    lock = locker.transaction()
    await lock.start()
    await locker.execute("LOCK TABLE audit.producers IN ACCESS EXCLUSIVE MODE")
    taking = asyncio.create_task(book.take(delivery))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'audit_ingest' AND wait_event_type = 'Lock'"
    )
    while not await book.sql.fetchval(waiting):
        pass
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await lock.rollback()
    await locker.close()
    assert await book.lines(ours) == []
    assert await book.take(delivery) == [delivery]
    assert len(await book.lines(ours)) == 1


async def test_two_owners_of_a_partition_record_once(book: Book, ours: UUID, theirs: UUID) -> None:
    other = created(theirs)
    await book.tell(other)
    events = [event for _ in range(20) for event in (created(ours), missed(ours, other.subject), read(ours))]
    deliveries = [book.delivery(book.envelope(event), event.TOPIC) for event in events]
    zombie = Book(book.database, book.sql)
    try:
        await asyncio.gather(book.take(*deliveries), zombie.take(*reversed(deliveries)))
    finally:
        await zombie.ingestion.abandon()
    assert len(await book.lines(ours)) == 60
    assert len(await book.lines(theirs)) == 21
    assert len(await book.outbox(ours)) == 20


async def test_each_event_is_processed_in_its_own_trace(
    book: Book, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer("test"))
    envelopes = await book.tell(created(ours), created(ours))
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["process penguinmails.campaigns"] * 2
    assert {span.kind for span in spans} == {SpanKind.CONSUMER}
    for told, span, line in zip(envelopes, spans, await book.lines(ours), strict=True):
        _, trace, parent, _ = str(told.traceparent).split("-")
        assert span.parent is not None
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, parent)
        assert line["trace_id"] == trace


async def test_an_unknown_type_is_admitted_once_it_is_known(
    book: Book, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = created(ours)
    with monkeypatch.context() as older:
        older.delitem(envelope._REGISTRY, event.ce_type())
        await book.tell(event)
    assert await book.lines(ours) == []
    connection = await asyncpg.connect(book.database.ingest_url)
    try:
        await book.upkeep.readmit(connection)
        await book.upkeep.readmit(connection)
    finally:
        await connection.close()
    assert [line["target_id"] for line in await book.lines(ours)] == [event.subject]


@pytest.mark.parametrize("role", ["audit_app", "audit_ingest"])
@pytest.mark.parametrize("table", ["events", "verdicts", "action_contexts"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET event_id = event_id", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_is_recorded_stays(book: Book, role: str, table: str, statement: str) -> None:
    connection = await asyncpg.connect(book.database.server.url(role, book.database.name))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(f"audit.{table}"))
    finally:
        await connection.close()


@pytest.mark.parametrize("table", ["ownership", "open_accesses", "quarantine", "producers", "gaps"])
async def test_the_api_role_cannot_read_across_tenants(book: Book, table: str) -> None:
    connection = await asyncpg.connect(book.database.app_url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"SELECT * FROM audit.{table}")
    finally:
        await connection.close()
