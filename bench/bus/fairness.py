"""What one tenant's long queue costs another tenant's single events.

The others' partitions are not the hot tenant's: who shares a partition with it waits for what was read ahead
of the hot one, or longer.
"""

import time
from collections.abc import Sequence
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
    """The 99th percentile beside the queue, as a multiple of that without it."""
    async with scene(subject) as bus:
        (hot,) = tenants(1)
        others = [one for one in tenants(600) if ledger.place(one) != ledger.place(hot)]
        idle, beside, left = await _with_queue(bus, hot, others)
        bare = {client: await _bare(bus, client, others) for client in raw.CLIENTS}
    factor = beside[1] / idle[1]
    notes = [
        f"{bus.size(SINGLES)} single events at {RATE}/s: p50 {idle[0]:.1f} ms, p99 {idle[1]:.1f} ms idle; "
        f"p50 {beside[0]:.1f} ms, p99 {beside[1]:.1f} ms beside {bus.size(WAITING)} that waited "
        f"({left} still did when the last single was done)",
        *(
            f"idle is {idle[1] / p99:.1f} × a bare {client} consumer (p50 {p50:.1f} ms, p99 {p99:.1f} ms)"
            for client, (p50, p99) in bare.items()
        ),
    ]
    held = factor <= BAR and left > 0
    return Line("p99 beside a long queue / idle", f"{factor:.2f}", f"≤ {BAR:.0f}", held, notes)


Percentiles = tuple[float, float]


async def _with_queue(bus: Scene, hot: UUID, others: Sequence[UUID]) -> tuple[Percentiles, Percentiles, int]:
    """Idle, beside the queue, and how much of the queue was left at the end."""
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
        beside = await _singles(producer, others, bus.size(SINGLES))
        done |= await reader.done([*beside, *waiting])
    end = max(done[event] for event in beside)
    left = sum(done[event] > end for event in waiting)
    return percentiles(delays(idle, done)), percentiles(delays(beside, done)), left


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
