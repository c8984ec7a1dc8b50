"""How long after a request its audit event can be queried: gateway, service, outbox, log, audit database."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle, islice
from random import choice

import asyncpg

from bench.bus.pace import paced, percentiles
from bench.report import Line
from bench.subject import Subject
from bench.web.limits import UNLIMITED, limit
from bench.web.load import Crowd, crowd, request
from common.ids import Kind, new_id, parse, to_text

BARS_MS = (100.0, 1000.0)
RATE, SECONDS, CONNECTIONS = 200, 10, 32
MIX = ("page", "one", "page", "miss", "page", "one", "page", "change", "one", "page")
"""What people do, in turns: half are pages of 20, four in ten things by their id (one of them not there), and
one in ten is a change."""
_STATUS = {"page": 200, "one": 200, "change": 201, "miss": 404}
_WARM_UP = 100
_LOOK_SECONDS = 0.01
_PATIENCE = 60.0
_DRIFT = timedelta(milliseconds=5)
_FOUND = "SELECT request_id FROM audit.events WHERE tenant_id = $1 AND occurred_at >= $2"


async def measure(subject: Subject) -> Line:
    """Milliseconds from the sending of a request to the event of it, whatever it asks for."""
    return await _measure(subject, "request", MIX)


async def measure_misses(subject: Subject) -> Line:
    """The same when all ask for what is not there, each of which is recorded before it is answered."""
    return await _measure(subject, "miss", ("miss",))


async def _measure(subject: Subject, name: str, kinds: Sequence[str]) -> Line:
    await limit(subject, subject.mine, UNLIMITED)
    count = max(RATE * SECONDS // 10, 20) if subject.short else RATE * SECONDS
    async with _audit_database(subject) as sql, crowd(subject.environment["gateway"], CONNECTIONS) as asking:
        await _run(subject, asking, sql, list(islice(cycle(kinds), _WARM_UP)))
        delays = await _run(subject, asking, sql, list(islice(cycle(kinds), count)))
    p50, p99 = percentiles([delay for of_kind in delays.values() for delay in of_kind])
    held = p50 <= BARS_MS[0] and p99 <= BARS_MS[1]
    notes = [f"{count} through the gateway; looked for in the table every {_LOOK_SECONDS * 1000:.0f} ms"]
    if len(delays) > 1:
        notes += [_described(kind, of_kind) for kind, of_kind in delays.items()]
    return Line(
        f"{name} to audit event at {RATE}/s, p50 and p99",
        f"{p50:.0f} and {p99:.0f} ms",
        f"≤ {BARS_MS[0]:.0f} and {BARS_MS[1]:.0f} ms",
        held,
        notes,
    )


def _described(kind: str, delays: Sequence[float]) -> str:
    p50, p99 = percentiles(delays)
    return f"{len(delays)} × {kind}: p50 {p50:.0f} ms, p99 {p99:.0f} ms"


@asynccontextmanager
async def _audit_database(subject: Subject) -> AsyncGenerator[asyncpg.Connection]:
    superuser = str(subject.environment["postgres"]["superuser"])
    sql = await asyncpg.connect(f"{superuser.rpartition('/')[0]}/audit")
    try:
        yield sql
    finally:
        await sql.close()


@dataclass(slots=True)
class _Request:
    """One request; `began` is what its event cannot be older than."""

    kind: str
    sent: float = field(default_factory=time.monotonic)
    began: datetime = field(default_factory=lambda: datetime.now(UTC) - _DRIFT)
    request_id: str | None = None


async def _run(
    subject: Subject, asking: Crowd, sql: asyncpg.Connection, kinds: Sequence[str]
) -> dict[str, list[float]]:
    """The delays of each kind."""
    waiting: list[_Request] = []
    watching = asyncio.create_task(_watch(subject, sql, waiting, len(kinds)))
    await paced(RATE, [partial(_ask, subject, asking, kind, waiting) for kind in kinds])
    return await watching


async def _ask(subject: Subject, asking: Crowd, kind: str, waiting: list[_Request]) -> None:
    asked = _Request(kind)
    waiting.append(asked)
    answer = await asking.ask(_bytes_of(subject, kind))
    if answer.status != _STATUS[kind]:
        raise RuntimeError(f"status {answer.status} and not {_STATUS[kind]}")
    asked.request_id = answer.request_id


def _bytes_of(subject: Subject, kind: str) -> bytes:
    token = subject.mine.token
    if kind == "page":
        return request("GET", "/campaigns?limit=20", token)
    if kind == "change":
        body = {"workspace_id": subject.mine.default_workspace_id, "name": "Spring"}
        return request("POST", "/campaigns", token, body)
    wanted = to_text(Kind.CAMPAIGN, new_id()) if kind == "miss" else choice(subject.own_campaigns)
    return request("GET", f"/campaigns/{wanted}", token)


async def _watch(
    subject: Subject, sql: asyncpg.Connection, waiting: list[_Request], count: int
) -> dict[str, list[float]]:
    """Look for events until those of so many requests have been seen."""
    tenant = parse(Kind.TENANT, subject.mine.tenant_id)
    delays: defaultdict[str, list[float]] = defaultdict(list)
    seen: dict[str, float] = {}
    deadline = time.monotonic() + _PATIENCE
    while count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count} events are not there")
        await asyncio.sleep(_LOOK_SECONDS)
        if not waiting:
            continue
        found = await sql.fetch(_FOUND, tenant, min(one.began for one in waiting))
        now = time.monotonic()
        for row in found:
            seen.setdefault(row["request_id"], now)
        for one in [one for one in waiting if one.request_id in seen]:
            waiting.remove(one)
            delays[one.kind].append((seen[one.request_id or ""] - one.sent) * 1000)
            count -= 1
    return delays
