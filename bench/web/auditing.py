"""How long after a request its audit event can be queried: gateway, service, outbox, log, audit database."""

import asyncio
import time
from functools import partial

import asyncpg

from bench.bus.pace import delays, paced, percentiles
from bench.bus.reader import Times
from bench.report import Line
from bench.subject import Subject
from bench.web.limits import UNLIMITED, limit
from bench.web.load import Crowd, crowd, request
from common.ids import Kind, new_id, parse, to_text

BARS_MS = (100.0, 1000.0)
RATE, SECONDS, CONNECTIONS = 200, 10, 32
_WARM_UP = 100
_LOOK_SECONDS = 0.01
_PATIENCE = 60.0
_FOUND = (
    "SELECT request_id FROM audit.events WHERE tenant_id = $1 AND recorded_at > now() - interval '5 seconds'"
)


async def measure(subject: Subject) -> Line:
    """Milliseconds from the sending of a request for what is not there to the event of it."""
    await limit(subject, subject.mine, UNLIMITED)
    superuser = str(subject.environment["postgres"]["superuser"])
    sql = await asyncpg.connect(f"{superuser.rpartition('/')[0]}/audit")
    count = max(RATE * SECONDS // 10, 20) if subject.short else RATE * SECONDS
    try:
        async with crowd(subject.environment["gateway"], CONNECTIONS) as asking:
            await _run(subject, asking, sql, _WARM_UP)
            p50, p99 = percentiles(await _run(subject, asking, sql, count))
    finally:
        await sql.close()
    held = p50 <= BARS_MS[0] and p99 <= BARS_MS[1]
    return Line(
        f"request to audit event at {RATE}/s, p50 and p99",
        f"{p50:.0f} and {p99:.0f} ms",
        f"≤ {BARS_MS[0]:.0f} and {BARS_MS[1]:.0f} ms",
        held,
        [f"{count} misses through the gateway; looked for in the table every {_LOOK_SECONDS * 1000:.0f} ms"],
    )


async def _run(subject: Subject, asking: Crowd, sql: asyncpg.Connection, count: int) -> list[float]:
    sent: Times = {}
    seen: Times = {}
    watching = asyncio.create_task(_watch(subject, sql, sent, seen, count))
    await paced(RATE, [partial(_miss, subject, asking, sent)] * count)
    await watching
    return delays(sent, seen)


async def _miss(subject: Subject, asking: Crowd, sent: Times) -> None:
    began = time.monotonic()
    path = f"/campaigns/{to_text(Kind.CAMPAIGN, new_id())}"
    answer = await asking.ask(request("GET", path, subject.mine.token))
    if answer.status != 404:
        raise RuntimeError(f"status {answer.status}")
    sent[answer.request_id.encode()] = began


async def _watch(subject: Subject, sql: asyncpg.Connection, sent: Times, seen: Times, count: int) -> None:
    tenant = parse(Kind.TENANT, subject.mine.tenant_id)
    deadline = time.monotonic() + _PATIENCE
    while len(sent) < count or not sent.keys() <= seen.keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(sent.keys() - seen.keys())} events are not there")
        found = await sql.fetch(_FOUND, tenant)
        now = time.monotonic()
        for row in found:
            seen.setdefault((row["request_id"] or "").encode(), now)
        await asyncio.sleep(_LOOK_SECONDS)
