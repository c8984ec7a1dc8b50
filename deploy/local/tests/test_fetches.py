"""Fetches on their way to the memory-only broker."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from tests.e2e.client import eventually

from common.contracts.envelope import TOPICS
from penguinmails.fetches import Queue, Waiting

LONG = 60_000
"""Milliseconds: no test waits for them."""
NAME = b"somebody"
PRODUCE, FETCH, METADATA = 0, 1, 3


def request(kind: int, body: bytes, version: int = 4, number: int = 0, name: bytes | None = NAME) -> bytes:
    head = struct.pack(">hhih", kind, version, number, -1 if name is None else len(name)) + (name or b"")
    return struct.pack(">i", len(head + body)) + head + body


def fetch(offsets: bytes, wait: int = LONG, version: int = 4, **changes: int) -> bytes:
    before = (b"\0" if version >= 12 else b"") + (b"\xff" * 4 if version < 15 else b"")
    return request(FETCH, before + struct.pack(">i", wait) + offsets, version, **changes)


class Connection:
    """What one client says, and what of it was handed on."""

    def __init__(self, waiting: Waiting) -> None:
        self.handed = b""
        self.queue = Queue(self._take, waiting)

    def _take(self, data: bytes) -> None:
        self.handed += data

    def say(self, *requests: bytes) -> None:
        self.queue.take(b"".join(requests))

    async def holds(self) -> bool:
        """Whether what was said last stays here, whatever else the loop has to do."""
        before = self.handed
        await asyncio.sleep(0)
        return self.handed == before


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def connection(waiting: Waiting) -> Connection:
    return Connection(waiting)


async def has(connection: Connection, length: int) -> None:
    async def look() -> bool:
        return len(connection.handed) == length

    await eventually(look, within=5, every=0.005)


@pytest.mark.parametrize("version", [4, 11, 12, 14, 15, 16])
async def test_what_is_new_goes_at_once_and_waits_nowhere_else(connection: Connection, version: int) -> None:
    for offsets in (b"1234", b"1235"):
        connection.say(fetch(offsets, version=version))
    assert connection.handed == b"".join(
        fetch(offsets, wait=20, version=version) for offsets in (b"1234", b"1235")
    )


async def test_what_found_nothing_waits_in_whatever_order_it_is_asked_again(connection: Connection) -> None:
    connection.say(fetch(b"1234", number=1))
    before = len(connection.handed)
    connection.say(fetch(b"3412", number=2), request(METADATA, b"behind it"))
    assert await connection.holds()
    assert len(connection.handed) == before


async def test_it_goes_when_somebody_else_has_written(connection: Connection, waiting: Waiting) -> None:
    writer = Connection(waiting)
    behind = request(METADATA, b"behind it")
    connection.say(fetch(b"1234"), fetch(b"1234"), behind)
    writer.say(request(PRODUCE, b"records"))
    assert await connection.holds(), "the broker does not have it yet"
    writer.queue.answered()
    await has(connection, 2 * len(fetch(b"1234")) + len(behind))
    assert connection.handed.endswith(behind)


async def test_what_was_written_between_two_fetches_is_looked_for(
    connection: Connection, waiting: Waiting
) -> None:
    connection.say(fetch(b"1234"))
    waiting.wake()
    connection.say(fetch(b"1234"))
    await has(connection, 2 * len(fetch(b"1234")))


async def test_answers_to_readers_wake_nobody(connection: Connection, waiting: Waiting) -> None:
    connection.say(fetch(b"1234"), fetch(b"1234"))
    connection.queue.answered()
    assert waiting.written == 0
    assert await connection.holds()


async def test_it_goes_when_its_time_is_over(connection: Connection) -> None:
    connection.say(fetch(b"1234", wait=50), fetch(b"1234", wait=50))
    assert len(connection.handed) == len(fetch(b"1234"))
    await has(connection, 2 * len(fetch(b"1234")))


@pytest.mark.parametrize("at_a_time", [1, 3, 13, 1000])
async def test_requests_are_handed_on_whole_and_in_order_however_they_arrive(
    connection: Connection, at_a_time: int
) -> None:
    said = [
        request(METADATA, b"", name=None),
        request(PRODUCE, b"r" * 500),
        fetch(b"1" * 40, wait=20),
        request(METADATA, b"m" * 30),
        fetch(b"2" * 40, wait=20),
    ]
    everything = b"".join(said)
    for place in range(0, len(everything), at_a_time):
        connection.queue.take(everything[place : place + at_a_time])
    assert connection.handed == everything


async def test_whoever_has_gone_fetches_nothing(connection: Connection, waiting: Waiting) -> None:
    connection.say(fetch(b"1234"), fetch(b"1234"))
    connection.queue.close()
    assert not waiting.wakes
    waiting.wake()
    assert await connection.holds()


@asynccontextmanager
async def reading(address: str, place: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer at the end of the partition, which lets its fetches be held long."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, fetch_max_wait_ms=LONG)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_end(place)
        yield consumer
    finally:
        await consumer.stop()


async def test_a_record_is_heard_of_however_long_a_fetch_may_be_held(kafka: str) -> None:
    place = TopicPartition(TOPICS[0], 0)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        async with reading(kafka, place) as consumer:
            for number in range(5):
                assert not await consumer.getmany(place, timeout_ms=100), "it waits at the broker"
                await producer.send_and_wait(place.topic, b"%d" % number, partition=place.partition)
                record = await asyncio.wait_for(consumer.getone(place), LONG / 1000 / 4)
                assert record.value == b"%d" % number
    finally:
        await producer.stop()
