"""How fast one relay empties an outbox: rows from the commit that made them to the history, acknowledged."""

import statistics
import time
from collections.abc import Sequence

from tests.e2e.client import eventually
from tests.faults.bus import ledger

from bench.bus import raw
from bench.bus.scene import Scene, envelopes, scene, tenants
from bench.report import Line, listed
from bench.subject import Subject
from common.contracts.envelope import Envelope

BAR = 10_000
ROWS, ROUNDS, TENANTS = 20_000, 3, 40
_COLUMNS = ("tenant_id", "event_id", "topic", "type", "subject", "data", "traceparent")
_LAST = "SELECT EXISTS (SELECT FROM tenancy.outbox_history WHERE sequence >= $1)"
_LEFT = "SELECT count(*) FROM tenancy.outbox"
_NEXT = "SELECT next_sequence FROM tenancy.relay_state"


async def measure(subject: Subject) -> Line:
    """Rows per second of one relay process."""
    rates: dict[str, list[float]] = {"relay": [], **{client: [] for client in raw.CLIENTS}}
    async with scene(subject) as bus, bus.relaying():
        count = bus.size(ROWS)
        for _ in range(ROUNDS):
            made = envelopes(tenants(TENANTS), count)
            rates["relay"].append(await _relayed(bus, made))
            for client in raw.CLIENTS:
                address = bus.settings.kafka_bootstrap_servers
                rates[client].append(await raw.write(client, address, raw.records(made)))
    rate, *limits = (statistics.median(found) for found in rates.values())
    notes = [
        f"{ROUNDS} rounds of {count} rows of {TENANTS} tenants: {listed(rates['relay'])}",
        *(
            f"{rate / limit:.2f} of a bare {client} producer with the same records ({limit:.0f}/s)"
            for client, limit in zip(raw.CLIENTS, limits, strict=True)
        ),
    ]
    return Line("relay, one process", f"{rate:.0f} rows/s", f"≥ {BAR}", rate >= BAR, notes)


async def _relayed(bus: Scene, made: Sequence[Envelope]) -> float:
    last = await bus.sql.fetchval(_NEXT) + len(made) - 1
    rows = [
        (one.tenant_id, one.event_id, ledger.TOPIC, one.type, one.subject, one.data.decode(), one.traceparent)
        for one in made
    ]
    await bus.sql.copy_records_to_table("outbox", schema_name="tenancy", columns=_COLUMNS, records=rows)
    began = time.monotonic()
    bus.database.events_written.set()

    async def sent() -> bool:
        return bool(await bus.sql.fetchval(_LAST, last))

    await eventually(sent, within=120, every=0.02)
    took = time.monotonic() - began
    if left := await bus.sql.fetchval(_LEFT):
        raise RuntimeError(f"{left} rows are left in the outbox")
    return len(made) / took
