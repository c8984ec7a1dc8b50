"""Statements of ingestion, run as `audit_ingest` on a raw connection: many tenants' rows at once.

`COPY` is refused under row-level security; `INSERT … SELECT FROM unnest` is nearly as fast.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from audit.detection.rules import Access
from audit.ingest.rows import ContextEntry, Entry, Life
from audit.models import DRIFT
from common.contracts.envelope import Actor
from common.ids import created_at

_EVENT_COLUMNS = {
    "tenant_id": "uuid",
    "event_id": "uuid",
    "occurred_at": "timestamptz",
    "action": "text",
    "actor_type": "text",
    "actor_id": "text",
    "email": "text",
    "ip": "text",
    "user_agent": "text",
    "target_type": "text",
    "target_id": "text",
    "outcome": "text",
    "severity": "text",
    "method": "text",
    "route": "text",
    "request_id": "text",
    "status": "integer",
    "trace_id": "text",
    "source": "text",
    "changes": "jsonb",
}
_CONTEXT_COLUMNS = {
    "tenant_id": "uuid",
    "event_id": "uuid",
    "occurred_at": "timestamptz",
    **dict.fromkeys(("email", "ip", "user_agent", "method", "route", "request_id"), "text"),
}
_VERDICT_COLUMNS = {
    "tenant_id": "uuid",
    "event_id": "uuid",
    "occurred_at": "timestamptz",
    "revision": "smallint",
    "flag": "text",
    "severity": "text",
}
_OPEN_COLUMNS = {
    "tenant_id": "uuid",
    "event_id": "uuid",
    "resource": "text",
    "occurred_at": "timestamptz",
    "kind": "text",
    "writes": "boolean",
    "actor": "jsonb",
    "request_id": "text",
    "traceparent": "text",
}
_OUTBOX_COLUMNS = {
    "tenant_id": "uuid",
    **{"event_id": "uuid", "topic": "text", "type": "text", "subject": "text", "data": "text"},
    "traceparent": "text",
}
_QUARANTINE_COLUMNS = {
    **{"tenant_id": "uuid", "digest": "bytea", "topic": "text", "partition": "integer", "position": "bigint"},
    **{"key": "bytea", "value": "bytea", "headers": "jsonb", "reason": "text"},
}


def _insert(table: str, columns: Mapping[str, str], key: str) -> str:
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(columns.values(), 1))
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) "  # noqa: S608 - names from above
        f"ON CONFLICT ({key}) DO NOTHING"
    )


_EVENT_KEY = "tenant_id, event_id, occurred_at"
_EVENTS = _insert("audit.events", _EVENT_COLUMNS, _EVENT_KEY) + " RETURNING tenant_id, event_id"
_CONTEXTS = _insert("audit.action_contexts", _CONTEXT_COLUMNS, _EVENT_KEY)
_VERDICTS = _insert("audit.verdicts", _VERDICT_COLUMNS, f"{_EVENT_KEY}, revision")
_OPEN = _insert("audit.open_accesses", _OPEN_COLUMNS, "tenant_id, event_id, resource")
_QUARANTINE = _insert("audit.quarantine", _QUARANTINE_COLUMNS, "tenant_id, digest")
_OUTBOX = _insert("tenancy.outbox", _OUTBOX_COLUMNS, "").removesuffix(" ON CONFLICT () DO NOTHING")

# A birth says for certain who owns the resource; a death only where no birth was heard of. The earliest of
# each counts, in whatever order they arrive: replayed into an emptied table, they make the same rows. (Where
# two tenants claim a resource, a death heard between the other's claim and its own birth is not kept.)
_BIRTHS = """
INSERT INTO audit.ownership AS o (resource, tenant_id, born_at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[])
ON CONFLICT (resource) DO UPDATE SET tenant_id = excluded.tenant_id, born_at = excluded.born_at,
    died_at = CASE WHEN o.tenant_id = excluded.tenant_id THEN o.died_at END
WHERE o.born_at IS NULL OR (excluded.born_at, excluded.tenant_id) < (o.born_at, o.tenant_id)
"""
_DEATHS = """
INSERT INTO audit.ownership AS o (resource, tenant_id, died_at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[])
ON CONFLICT (resource) DO UPDATE SET died_at = excluded.died_at
WHERE o.tenant_id = excluded.tenant_id AND (o.died_at IS NULL OR excluded.died_at < o.died_at)
"""
# Shared by all batches; who erases waits for those that began before.
_BEGIN = "SELECT pg_advisory_xact_lock_shared(x'65726173'::int)"
_DELETED = "SELECT tenant_id FROM tenancy.tenants WHERE tenant_id = ANY($1) AND status = 'deleted'"
_OWNERS = "SELECT resource, tenant_id FROM audit.ownership WHERE resource = ANY($1)"
# The key begins with the tenant, which is what is asked for: PostgreSQL skips from tenant to tenant.
_EVENT_OWNERS = """
SELECT event_id, tenant_id FROM audit.events
WHERE event_id = ANY($1) AND occurred_at BETWEEN $2::timestamptz AND $3::timestamptz
"""
_TAKE_OPEN = """
DELETE FROM audit.open_accesses AS a USING audit.ownership AS o
WHERE o.resource = a.resource AND a.resource = ANY($1)
RETURNING a.*, o.tenant_id AS owner
"""
# Sorted by the caller, so that two consumers cannot wait for each other.
_SEEN = """
INSERT INTO audit.producers AS p (source, seen)
SELECT source, seen::int8multirange FROM unnest($1::text[], $2::text[]) AS u (source, seen)
ON CONFLICT (source) DO UPDATE SET seen = p.seen + excluded.seen, updated_at = clock_timestamp()
"""


class VerdictEntry(NamedTuple):
    """A row of `audit.verdicts`, in the order of its insert."""

    tenant_id: UUID
    event_id: UUID
    occurred_at: Any
    revision: int
    flag: str
    severity: str


class OutboxEntry(NamedTuple):
    """A row of the outbox, in the order of its insert."""

    tenant_id: UUID
    event_id: UUID
    topic: str
    type: str
    subject: str
    data: str
    traceparent: str | None


class QuarantineEntry(NamedTuple):
    """A row of `audit.quarantine`, in the order of its insert."""

    tenant_id: UUID
    digest: bytes
    topic: str
    partition: int
    position: int
    key: bytes | None
    value: bytes | None
    headers: str
    reason: str


async def ensure_days(connection: asyncpg.Connection, days: Iterable[date]) -> None:
    """Make the partitions of `days`."""
    await connection.execute("SELECT audit.ensure_days($1)", sorted(days))


async def find_deleted(connection: asyncpg.Connection, tenants: Collection[UUID]) -> set[UUID]:
    """Which of the tenants are deleted; none is erased before the transaction has ended."""
    await connection.execute(_BEGIN)
    return {row["tenant_id"] for row in await connection.fetch(_DELETED, list(tenants))}


async def insert_events(connection: asyncpg.Connection, entries: Sequence[Entry]) -> set[tuple[UUID, UUID]]:
    """Insert; returns (tenant, event) of those that were not there yet."""
    if not entries:
        return set()
    rows = await connection.fetch(_EVENTS, *_columns(entries))
    return {(row["tenant_id"], row["event_id"]) for row in rows}


async def insert_contexts(connection: asyncpg.Connection, entries: Sequence[ContextEntry]) -> None:
    await _run(connection, _CONTEXTS, entries)


async def insert_verdicts(connection: asyncpg.Connection, entries: Sequence[VerdictEntry]) -> None:
    await _run(connection, _VERDICTS, entries)


async def insert_outbox(connection: asyncpg.Connection, entries: Sequence[OutboxEntry]) -> None:
    await _run(connection, _OUTBOX, entries)


async def insert_quarantine(connection: asyncpg.Connection, entries: Sequence[QuarantineEntry]) -> None:
    await _run(connection, _QUARANTINE, entries)


async def keep_open(connection: asyncpg.Connection, accesses: Sequence[Access]) -> None:
    """Keep accesses to be judged again."""
    rows = [
        (
            *(access.tenant_id, access.event_id, access.resource, access.occurred_at, access.kind),
            *(access.writes, access.actor.model_dump_json(), access.request_id, access.traceparent),
        )
        for access in accesses
    ]
    await _run(connection, _OPEN, rows)


async def take_open(connection: asyncpg.Connection, resources: Collection[str]) -> list[tuple[Access, UUID]]:
    """Take out the kept accesses to `resources` that have an owner now, with that owner."""
    if not resources:
        return []
    return [_reopened(row) for row in await connection.fetch(_TAKE_OPEN, list(resources))]


def _reopened(row: asyncpg.Record) -> tuple[Access, UUID]:
    access = Access(
        tenant_id=row["tenant_id"],
        event_id=row["event_id"],
        occurred_at=row["occurred_at"],
        kind=row["kind"],
        resource=row["resource"],
        writes=row["writes"],
        actor=Actor.model_validate(json.loads(row["actor"])),
        request_id=row["request_id"],
        traceparent=row["traceparent"],
    )
    return access, row["owner"]


async def learn_births(connection: asyncpg.Connection, lives: Sequence[Life]) -> None:
    """Note who owns what; whoever was born first keeps a resource that two tenants claim."""
    await _run(connection, _BIRTHS, _once(lives))


async def learn_deaths(connection: asyncpg.Connection, lives: Sequence[Life]) -> None:
    await _run(connection, _DEATHS, _once(lives))


def _once(lives: Sequence[Life]) -> list[Life]:
    """The earliest of each resource, in an order that all writers share."""
    latest_first = sorted(lives, key=lambda life: (life.at, life.tenant_id), reverse=True)
    first = {life.resource: life for life in latest_first}
    return [first[resource] for resource in sorted(first)]


async def find_owners(connection: asyncpg.Connection, resources: Collection[str]) -> dict[str, UUID]:
    """The owning tenant of each resource that has or had one."""
    if not resources:
        return {}
    rows = await connection.fetch(_OWNERS, list(resources))
    return {row["resource"]: row["tenant_id"] for row in rows}


async def find_event_owners(connection: asyncpg.Connection, event_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The tenant in whose log each event stands."""
    times = [born for event_id in event_ids if (born := created_at(event_id)) is not None]
    if not times:
        return {}
    span = (min(times) - DRIFT, max(times) + DRIFT)
    rows = await connection.fetch(_EVENT_OWNERS, list(event_ids), *span)
    return {row["event_id"]: row["tenant_id"] for row in rows}


async def note_seen(connection: asyncpg.Connection, sequences: Mapping[str, Collection[int]]) -> None:
    """Note which sequence numbers of which producers have arrived."""
    rows = [(source, _multirange(numbers)) for source, numbers in sorted(sequences.items())]
    await _run(connection, _SEEN, rows)


def _multirange(numbers: Iterable[int]) -> str:
    return "{" + ",".join(f"[{number},{number + 1})" for number in sorted(numbers)) + "}"


async def _run(connection: asyncpg.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await connection.execute(statement, *_columns(rows))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
