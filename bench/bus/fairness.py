"""What one tenant's long queue costs another tenant's single events, elsewhere and in its partition.

Whoever shares it is behind the queue until that is in memory; this first wait is in the notes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from aiokafka import AIOKafkaProducer
from tests.faults.bus import ledger

from bench.bus import raw
from bench.bus.pace import delays, paced, percentiles
from bench.bus.reader import REAL, Reader, Times
from bench.bus.scene import Scene, envelopes, scene, tenants
from bench.report import Line
from bench.subject import Subject

BAR = 2.0
WAITING, SINGLES, RATE, WARM_UP = 20_000, 200, 40, 20


async def measure(subject: Subject) -> Line:
    """The 99th percentile beside the queue, as a multiple of that without it; in other partitions."""
    async with scene(subject) as bus:
        (hot,) = tenants(1)
        others = [one for one in tenants(600) if ledger.place(one) != ledger.place(hot)]
        found = await _with_queue(bus, hot, others)
        bare = {client: await _bare(bus, client, others) for client in raw.CLIENTS}
    clients = [
        f"idle is {found.idle[1] / p99:.1f} × a bare {client} consumer (p50 {p50:.1f} ms, p99 {p99:.1f} ms)"
        for client, (p50, p99) in bare.items()
    ]
    return _line("p99 beside a long queue / idle", bus, found, clients)


async def measure_shared(subject: Subject) -> Line:
    """The same in the partition of the queue."""
    async with scene(subject) as bus:
        (hot,) = tenants(1)
        others = [one for one in tenants(2400) if ledger.place(one) == ledger.place(hot)]
        found = await _with_queue(bus, hot, others)
    first = [f"the first, written right behind the queue, took {found.first:.0f} ms"]
    return _line("p99 in a long queue's partition / idle", bus, found, first)


Percentiles = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Found:
    """Milliseconds idle and beside the queue; how much of it was left when the last single was done."""

    idle: Percentiles
    beside: Percentiles
    first: float
    left: int


def _line(name: str, bus: Scene, found: _Found, notes: Sequence[str]) -> Line:
    idle, beside = found.idle, found.beside
    factor = beside[1] / idle[1]
    singles = (
        f"{bus.size(SINGLES)} single events at {RATE}/s: p50 {idle[0]:.1f} ms, p99 {idle[1]:.1f} ms idle; "
        f"p50 {beside[0]:.1f} ms, p99 {beside[1]:.1f} ms beside {bus.size(WAITING)} that waited "
        f"({found.left} still did when the last single was done)"
    )
    return Line(name, f"{factor:.2f}", f"≤ {BAR:.0f}", factor <= BAR and found.left > 0, [singles, *notes])


async def _with_queue(bus: Scene, hot: UUID, others: Sequence[UUID]) -> _Found:
    queue = raw.records(envelopes([hot], bus.size(WAITING)))
    waiting = [headers[1][1] for _, _, headers in queue]
    address = bus.settings.kafka_bootstrap_servers
    async with (
        raw.open_aiokafka(address, linger_ms=0) as producer,
        Reader(REAL, bus.settings, "bench") as reader,
    ):
        await reader.done(await _singles(producer, others, WARM_UP))
        idle = await _singles(producer, others, bus.size(SINGLES))
        done = await reader.done(idle)
        await raw.write("confluent-kafka", address, queue)
        await reader.done(waiting[:1])
        first = await _singles(producer, others, 1)
        done |= await reader.done(first)
        beside = await _singles(producer, others, bus.size(SINGLES))
        done |= await reader.done([*beside, *waiting])
    end = max(done[event] for event in beside)
    left = sum(done[event] > end for event in waiting)
    (wait,) = delays(first, done)
    return _Found(percentiles(delays(idle, done)), percentiles(delays(beside, done)), wait, left)


async def _bare(bus: Scene, client: str, others: Sequence[UUID]) -> Percentiles:
    address = bus.settings.kafka_bootstrap_servers
    async with (
        raw.open_aiokafka(address, linger_ms=0) as producer,
        Reader(client, bus.settings, "bench") as reader,
    ):
        await reader.done(await _singles(producer, others, WARM_UP))
        sent = await _singles(producer, others, bus.size(SINGLES))
        return percentiles(delays(sent, await reader.done(sent)))


async def _singles(producer: AIOKafkaProducer, owners: Sequence[UUID], count: int) -> Times:
    """Single events at a steady pace; when each was acknowledged."""
    acknowledged: Times = {}

    async def send(record: raw.Record) -> None:
        key, value, headers = record
        await producer.send_and_wait(ledger.TOPIC, value, key=key, headers=headers)
        acknowledged[headers[1][1]] = time.monotonic()

    made = raw.records(envelopes(owners, count))
    await paced(RATE, [partial(send, record) for record in made])
    return acknowledged
