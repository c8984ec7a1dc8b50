"""A process that reads the topic from its beginning: the real consumer, or a bare client.

It remembers when it was done with each record, by a clock that all processes share.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import TopicPartition as ConfluentPlace
from tests.faults.bus import ledger

from bench.subject import SAMPLED
from common import telemetry
from common.bus.consumer import Consumer, Delivery
from common.bus.kafka import Cluster
from common.bus.lanes import Lanes
from common.contracts.envelope import PARTITIONS
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import Database
from common.settings import ServiceSettings

Times = dict[bytes, float]
"""When each event (`ce_id`) was done with, in seconds of the monotonic clock."""
REAL = "consumer"
_PATIENCE = 150
_RECORDS = 500
_LOOK_SECONDS = 0.05


class Reader:
    """The measurement's side of it. `client`: `REAL`, or one of `raw.CLIENTS`."""

    def __init__(self, client: str, settings: ServiceSettings, name: str) -> None:
        """`name` of the real consumer: one that is not known yet handles everything."""
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(client, settings, name, theirs), daemon=True)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._process.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.send(None)
        await asyncio.to_thread(self._process.join)

    async def done(self, wanted: Iterable[bytes]) -> Times:
        """When it was done with these events, as soon as it is."""
        self._pipe.send(set(wanted))
        return await asyncio.to_thread(self._answer)

    def _answer(self) -> Times:
        if not self._pipe.poll(_PATIENCE):
            raise TimeoutError("the reader does not get through")
        times: Times = self._pipe.recv()
        return times


def _main(client: str, settings: ServiceSettings, name: str, pipe: Connection) -> None:
    telemetry.start_tracing(telemetry.resource_of("bench", ()), "", SAMPLED)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(client, settings, name, pipe))


async def _serve(client: str, settings: ServiceSettings, name: str, pipe: Connection) -> None:
    times: Times = {}
    if client == REAL:
        reading = _handle(settings, name, times)
    elif client == "aiokafka":
        reading = _read_aiokafka(settings.kafka_bootstrap_servers, settings.kafka_fetch_wait_ms, times)
    else:
        reading = _read_confluent(settings.kafka_bootstrap_servers, settings.kafka_fetch_wait_ms, times)
    task = asyncio.create_task(reading)
    while (wanted := await asyncio.to_thread(pipe.recv)) is not None:
        while len(times) < len(wanted) or not wanted <= times.keys():
            if task.done():
                return task.result()
            await asyncio.sleep(_LOOK_SECONDS)
        pipe.send({event: times[event] for event in wanted})
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _handle(settings: ServiceSettings, name: str, times: Times) -> None:
    database = Database(settings.database_url, settings.tenancy_key.get_secret_value())
    cluster = Cluster(settings)
    lanes = _Noting(name, database, {WorkspaceUpdated: ledger.handler()})
    lanes.times = times
    try:
        await Consumer(name, settings, cluster, [ledger.TOPIC], lanes).run()
    finally:
        await cluster.close()
        await database.close()


class _Noting(Lanes):
    """Lanes that note when a delivery's effects are committed."""

    times: Times

    async def take(self, deliveries: Sequence[Delivery], done: Callable[[Delivery], None]) -> None:
        def noted(delivery: Delivery) -> None:
            self.times[delivery.record.headers[1][1]] = time.monotonic()
            done(delivery)

        await super().take(deliveries, noted)


async def _read_aiokafka(address: str, wait_ms: int, times: Times) -> None:
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=address, enable_auto_commit=False, fetch_max_wait_ms=wait_ms
    )
    await consumer.start()
    places = [TopicPartition(ledger.TOPIC, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    try:
        while True:
            for found in (await consumer.getmany(timeout_ms=200, max_records=_RECORDS)).values():
                now = time.monotonic()
                for record in found:
                    times[record.headers[1][1]] = now
    finally:
        await consumer.stop()


async def _read_confluent(address: str, wait_ms: int, times: Times) -> None:
    consumer = ConfluentConsumer(
        {
            "bootstrap.servers": address,
            "group.id": "bench",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": wait_ms,
        }
    )
    consumer.assign([ConfluentPlace(ledger.TOPIC, n, OFFSET_BEGINNING) for n in range(PARTITIONS)])
    try:
        while True:
            found = await asyncio.to_thread(consumer.consume, _RECORDS, 0.01)
            now = time.monotonic()
            for message in found:
                if message.error() is None:
                    times[message.headers()[1][1]] = now
    finally:
        consumer.close()
