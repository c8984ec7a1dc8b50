"""How long after its commit an event is handled: outbox, relay, log, consumer, effect committed.

The relay shares a process with a writer that does nothing but commit events; the consumer has one of its
own. A bare client's delay is from sending to having the record.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tests.faults.bus import ledger

from bench.bus import raw
from bench.bus.pace import delays, paced, percentiles
from bench.bus.reader import REAL, Reader, Times
from bench.bus.scene import Scene, envelopes, scene, tenants
from bench.bus.writer import writing
from bench.report import Line
from bench.subject import Subject
from common.contracts.envelope import Envelope
from common.ids import Kind, to_text

BAR_MS, BARRED = 100.0, 500
RATES = (100, BARRED)
SECONDS, TENANTS, WARM_UP = 10, 40, 100

_WARM_UP_RATE = 50

Percentiles = tuple[float, float]
Send = Callable[[], Awaitable[None]]


async def measure(subject: Subject) -> Line:
    """Milliseconds from commit to handled at the higher rate, the 99th percentile."""
    async with scene(subject) as bus:
        found = {client: await _client(bus, client) for client in (REAL, *raw.CLIENTS)}
    _, p99 = found[REAL][BARRED]
    notes = [
        f"{rate}/s: p50 {real[0]:.1f} ms, p99 {real[1]:.1f} ms"
        + "".join(
            f"; {real[1] / found[c][rate][1]:.1f} × bare {c} ({_pair(found[c][rate])})" for c in raw.CLIENTS
        )
        for rate, real in found[REAL].items()
    ]
    name = f"commit to handled at {BARRED} events/s, p99"
    return Line(name, f"{p99:.1f} ms", f"≤ {BAR_MS:.0f} ms", p99 <= BAR_MS, notes)


def _pair(found: Percentiles) -> str:
    return f"p50 {found[0]:.1f} ms, p99 {found[1]:.1f} ms"


async def _client(bus: Scene, client: str) -> dict[int, Percentiles]:
    """50th and 99th percentile at each rate."""
    found: dict[int, Percentiles] = {}
    sent: Times = {}
    async with SENDERS[client](bus, sent) as send, Reader(client, bus.settings, "bench") as reader:
        await paced(_WARM_UP_RATE, [send] * WARM_UP)
        await reader.done(sent)
        for rate in RATES:
            sent.clear()
            await paced(rate, [send] * bus.size(rate * SECONDS))
            found[rate] = percentiles(delays(sent, await reader.done(sent)))
    return found


@asynccontextmanager
async def _outbox(bus: Scene, sent: Times) -> AsyncGenerator[Send]:
    """Events leave by the outbox; the clock starts before the transaction's only message."""
    made = _events(bus)
    async with writing(bus) as write, bus.relaying():

        async def send() -> None:
            event = next(made)
            sent[to_text(Kind.EVENT, event.event_id).encode()] = time.monotonic()
            await write(event)

        yield send


@asynccontextmanager
async def _aiokafka(bus: Scene, sent: Times) -> AsyncGenerator[Send]:
    made = _records(bus)
    async with raw.open_aiokafka(bus.settings.kafka_bootstrap_servers, linger_ms=0) as producer:

        async def send() -> None:
            key, value, headers = next(made)
            sent[headers[1][1]] = time.monotonic()
            await producer.send_and_wait(ledger.TOPIC, value, key=key, headers=headers)

        yield send


@asynccontextmanager
async def _confluent(bus: Scene, sent: Times) -> AsyncGenerator[Send]:
    made = _records(bus)
    producer = raw.open_confluent(bus.settings.kafka_bootstrap_servers, linger_ms=0)

    async def send() -> None:
        key, value, headers = next(made)
        sent[headers[1][1]] = time.monotonic()
        producer.produce(ledger.TOPIC, value, key, headers=list(headers))
        producer.poll(0)

    yield send
    await asyncio.to_thread(producer.flush, 10)


def _records(bus: Scene) -> Iterator[raw.Record]:
    return iter(raw.records(list(_events(bus))))


def _events(bus: Scene) -> Iterator[Envelope]:
    count = WARM_UP + sum(bus.size(rate * SECONDS) for rate in RATES)
    return iter(envelopes(tenants(TENANTS), count))


SENDERS: dict[str, Callable[[Scene, Times], AbstractAsyncContextManager[Send]]] = {
    REAL: _outbox,
    "aiokafka": _aiokafka,
    "confluent-kafka": _confluent,
}
