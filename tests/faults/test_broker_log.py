"""The broker's log over a kill, and services that must end while the broker does not answer."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from common.bus.kafka import abandon, make_producer
from common.settings import ServiceSettings
from penguinmails.config import Broker
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant
from tests.faults.test_outages import Load, assert_all_audited_once

only_apache = pytest.mark.skipif(
    os.environ.get("KAFKA") != Broker.APACHE, reason="runs with KAFKA=apache: idempotent producers"
)
PLACE = TopicPartition("log-of-the-test", 0)
"""Nobody else writes or reads it."""


async def test_a_killed_broker_has_its_log_or_is_another_cluster(
    stack: Stack, kafka: str, broker_kind: Broker
) -> None:
    sent = [f"record {number}".encode() for number in range(500)]
    before = await cluster_id(kafka, make=PLACE.topic)
    first = await append(kafka, sent)
    async with broker_away(stack, signal.SIGKILL):
        pass
    after = await cluster_id(kafka)
    assert (after == before) == (broker_kind is Broker.APACHE)
    if after == before:
        assert await read(kafka, first, len(sent)) == sent


async def append(kafka: str, records: list[bytes]) -> int:
    """Returns when all are acknowledged; the offset of the first."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        waits = [await producer.send(PLACE.topic, record, partition=PLACE.partition) for record in records]
        return min([(await wait).offset for wait in waits])
    finally:
        await producer.stop()


async def read(kafka: str, first: int, count: int) -> list[bytes | None]:
    reader = AIOKafkaConsumer(bootstrap_servers=kafka)
    await reader.start()
    try:
        reader.assign([PLACE])
        reader.seek(PLACE, first)
        async with asyncio.timeout(20):
            return [(await reader.getone()).value for _ in range(count)]
    finally:
        await reader.stop()


async def cluster_id(kafka: str, make: str | None = None) -> str:
    """The id, after making a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        if make is not None:
            await admin.create_topics([NewTopic(make, num_partitions=1, replication_factor=1)])
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


@only_apache
async def test_a_service_ends_in_time_while_the_broker_does_not_answer(
    stack: Stack, platform: Platform, tenant: Tenant
) -> None:
    async with broker_away(stack, signal.SIGSTOP):
        async with Load(platform, tenant) as load:
            await load.more()
        process = psutil.Process(stack.pids()["campaigns"][0])
        began = time.monotonic()
        stack.kill("campaigns", signal.SIGTERM)
        await asyncio.to_thread(process.wait, 10)
        took = time.monotonic() - began
    assert took < 10
    await asyncio.to_thread(stack.wait_ready, "campaigns", process.pid)
    await assert_all_audited_once(platform, load, tenant)


@only_apache
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_producer_is_abandoned_at_once_while_its_batch_is_under_way(
    stack: Stack, kafka: str, fault: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    """An idempotent one asks for its acknowledgement without end."""
    producer = make_producer(settings_for(kafka), await cluster_id(kafka, make=PLACE.topic))
    others = asyncio.all_tasks()
    await producer.start()
    await producer.send_and_wait(PLACE.topic, b"before", partition=PLACE.partition)
    async with broker_away(stack, fault):
        acknowledged = await producer.send(PLACE.topic, b"record", partition=PLACE.partition)
        await asyncio.wait({acknowledged}, timeout=1)
        async with asyncio.timeout(5):
            await abandon(producer)
        assert acknowledged.done()
        assert not asyncio.all_tasks() - others, "nothing of it goes on"
    assert isinstance(acknowledged.exception(), KafkaError)
    del producer
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def settings_for(kafka: str) -> ServiceSettings:
    unused: dict[str, Any] = dict.fromkeys(("database_url", "tenancy_key", "link_secret"), "")
    return ServiceSettings(kafka_bootstrap_servers=kafka, kafka_idempotence=True, **unused)


@asynccontextmanager
async def broker_away(stack: Stack, fault: signal.Signals) -> AsyncIterator[None]:
    """Stopped or killed inside, ready again behind."""
    old = stack.kill("kafka", fault)
    try:
        yield
    finally:
        if fault is signal.SIGSTOP:
            stack.kill("kafka", signal.SIGCONT)
        await asyncio.to_thread(stack.wait_ready, "kafka", old if fault is signal.SIGKILL else None)
