"""How fast one consumer handles what waits in the log: inbox row and effect of each event committed."""

import statistics
from collections.abc import Sequence

from bench.bus import raw
from bench.bus.reader import REAL, Reader, Times
from bench.bus.scene import Scene, envelopes, scene, tenants
from bench.report import Line, listed
from bench.subject import Subject

BAR = 2_000
EVENTS, ROUNDS, TENANTS = 10_000, 3, 40


async def measure(subject: Subject) -> Line:
    """Events per second of one consumer process."""
    rates: dict[str, list[float]] = {client: [] for client in (REAL, *raw.CLIENTS)}
    async with scene(subject) as bus:
        count = bus.size(EVENTS)
        made = raw.records(envelopes(tenants(TENANTS), count))
        await raw.write("confluent-kafka", bus.settings.kafka_bootstrap_servers, made)
        for number in range(ROUNDS):
            for client, found in rates.items():
                found.append(await _read(bus, client, f"bench-{number}", made))
    rate, *limits = (statistics.median(found) for found in rates.values())
    notes = [
        f"{ROUNDS} rounds of {count} events of {TENANTS} tenants: {listed(rates[REAL])}",
        *(
            f"{rate / limit:.3f} of a bare {client} consumer on the same log ({limit:.0f}/s)"
            for client, limit in zip(raw.CLIENTS, limits, strict=True)
        ),
    ]
    return Line("consumer with inbox, one process", f"{rate:.0f} events/s", f"≥ {BAR}", rate >= BAR, notes)


async def _read(bus: Scene, client: str, name: str, made: Sequence[raw.Record]) -> float:
    async with Reader(client, bus.settings, name) as reader:
        times: Times = await reader.done(headers[1][1] for _, _, headers in made)
    first, last = min(times.values()), max(times.values())
    return sum(moment > first for moment in times.values()) / (last - first)
