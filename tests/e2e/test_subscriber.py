"""The guide's example of a subscriber, run as it is printed there against the platform's own broker."""

import asyncio
import importlib.util
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.e2e.client import Platform, Tenant, eventually

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "subscriber.py"
TOPIC = "penguinmails.campaigns"
FIRST_JOIN = 20.0
"""Seconds; the local broker lets a group wait for half its session's time."""


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("subscriber", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["subscriber"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(example: ModuleType, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "campaigns.db")
    connection.executescript(example.TABLES)
    yield connection
    connection.close()


@pytest.fixture
def subscriber(
    environment: dict[str, Any], store: sqlite3.Connection, tmp_path: Path
) -> Iterator[Popen[str]]:
    command = [sys.executable, str(EXAMPLE), environment["kafka"], f"list-{time.time_ns()}"]
    with Popen([*command, str(tmp_path / "campaigns.db")], stdout=PIPE, stderr=STDOUT, text=True) as process:
        yield process
        process.kill()


def records_of(bootstrap: str, subject: str) -> list[Message]:
    """All records about `subject`, as they stand in the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(TOPIC, 10).topics[TOPIC].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(TOPIC, p), 10)[1] for p in partitions}
        consumer.assign([TopicPartition(TOPIC, p, 0) for p, end in ends.items() if end])
        waiting, found = {p for p, end in ends.items() if end}, list[Message]()
        while waiting:
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            found.append(message)
            if message.offset() == ends[message.partition()] - 1:
                waiting.discard(message.partition())
        return [one for one in found if ("ce_subject", subject.encode()) in (one.headers() or [])]
    finally:
        consumer.close()


def event_id(record: Message) -> str:
    return dict(record.headers() or [])["ce_id"].decode()


def publish_again(bootstrap: str, records: list[Message]) -> None:
    """As a relay does that was killed between the broker's acknowledgement and its own note of it."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for one in records:
        producer.produce(
            TOPIC, key=one.key(), value=one.value(), headers=one.headers(), partition=one.partition()
        )
    assert producer.flush(10) == 0


async def test_it_handles_each_event_once_in_order_and_in_its_trace(
    subscriber: Popen[str],
    store: sqlite3.Connection,
    platform: Platform,
    tenant: Tenant,
    environment: dict[str, Any],
) -> None:
    made = await platform.post(
        tenant, "/campaigns", {"workspace_id": tenant.default_workspace_id, "name": "Spring"}
    )
    campaign = made.json()["campaign_id"]
    for subject in ("One", "Two", "Three"):
        await change(platform, tenant, campaign, subject)

    async def row(version: int) -> tuple[Any, ...] | None:
        query = "SELECT name, version, deleted FROM campaigns WHERE campaign_id = ? AND version >= ?"
        return store.execute(query, (campaign, version)).fetchone()

    async def handled() -> tuple[Any, ...] | None:
        return await row(4)

    assert await eventually(handled, FIRST_JOIN) == ("Spring", 4, 0)
    records = await asyncio.to_thread(records_of, environment["kafka"], campaign)
    assert len(records) == 4
    await asyncio.to_thread(publish_again, environment["kafka"], records)
    await platform.http.delete(f"/api/v1/campaigns/{campaign}", headers=tenant.headers)

    async def deleted() -> tuple[Any, ...] | None:
        return await row(5)

    assert await eventually(deleted) == ("Spring", 5, 1)
    events = store.execute(
        "SELECT type, trace_id FROM events WHERE subject = ? ORDER BY rowid", (campaign,)
    ).fetchall()
    kinds = [kind.split(".")[1] for kind, _ in events]
    assert kinds == ["CampaignCreated", *["CampaignUpdated"] * 3, "CampaignDeleted"]
    assert events[0][1] == made.headers["X-Trace-Id"]

    subscriber.terminate()
    printed, _ = await asyncio.to_thread(subscriber.communicate, timeout=15)
    assert subscriber.returncode == 0, printed
    dropped = [printed.count(f"seen before: {event_id(one)}") for one in records]
    assert dropped == [1] * 4, "the second publication was delivered, and dropped"


async def change(platform: Platform, tenant: Tenant, campaign: str, subject: str) -> None:
    answer = await platform.http.patch(
        f"/api/v1/campaigns/{campaign}", headers=tenant.headers, json={"subject": subject}
    )
    assert answer.status_code == 200, answer.text


def message(value: bytes = b"{}", **changes: str | None) -> Any:
    headers = {
        "ce_id": "evt_1",
        "ce_type": "penguinmails.CampaignCreated.v1",
        "ce_subject": "camp_1",
        "ce_tenantid": "tenant_1",
        **changes,
    }
    pairs = [(name, text.encode()) for name, text in headers.items() if text is not None]
    answers = {"headers": pairs, "value": value, "topic": TOPIC, "partition": 0, "offset": 7}
    return SimpleNamespace(**{name: lambda answer=answer: answer for name, answer in answers.items()})


def rows(store: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return store.execute(f"SELECT * FROM {table}").fetchall()


@pytest.mark.parametrize(
    "broken",
    [message(b"no json"), message(b'{"version": 1}'), message(ce_id=None)],
    ids=["no JSON", "no name", "no id"],
)
def test_a_record_that_is_no_event_is_laid_aside_and_leaves_nothing(
    example: ModuleType, store: sqlite3.Connection, broken: Any
) -> None:
    example.take(store, broken)
    example.take(store, broken)
    assert [place for place, *_ in rows(store, "refused")] == [f"{TOPIC} 0 7"]
    assert rows(store, "events") == rows(store, "campaigns") == []


def test_unknown_types_are_passed_over_and_old_events_change_nothing(
    example: ModuleType, store: sqlite3.Connection
) -> None:
    example.take(store, message(ce_type="penguinmails.CampaignForgotten.v3"))
    assert rows(store, "events") == []
    example.take(store, message(b'{"name": "New", "version": 4}'))
    example.take(store, message(b'{"version": 5}', ce_id="evt_2", ce_type="penguinmails.CampaignDeleted.v1"))
    example.take(store, message(b'{"name": "Old", "version": 3}', ce_id="evt_0"))
    assert rows(store, "campaigns") == [("camp_1", "tenant_1", "New", 5, 1)]
