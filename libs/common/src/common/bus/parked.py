"""Parked events, which no broker takes as they are: an operator shortens one, or gives it up.

What is done, and the record of it in the tenant's audit log, are one transaction. The relay goes on with what
waited behind the event by itself.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from common.bus import outbox
from common.bus.publishing import MAX_EVENT_BYTES, size_of
from common.context import SystemContext
from common.contracts.envelope import find_type
from common.contracts.operations import ParkedEventDropped, ParkedEventRetried
from common.errors import Invalid

_LIST = """
SELECT o.tenant_id, o.event_id, o.topic, o.type, o.subject, o.sequence, octet_length(o.data) AS bytes,
    o.parked_at, o.error, (SELECT count(*) FROM tenancy.outbox AS w
        WHERE w.tenant_id = o.tenant_id AND w.subject = o.subject AND w.id > o.id) AS waiting
FROM tenancy.outbox AS o
WHERE o.parked_at IS NOT NULL AND ($1::uuid IS NULL OR o.event_id = $1) ORDER BY o.id
"""
_LOCK = """
SELECT * FROM tenancy.outbox WHERE tenant_id = $1 AND event_id = $2 AND parked_at IS NOT NULL FOR UPDATE
"""
_RELEASE = """
UPDATE tenancy.outbox SET data = $3, parked_at = NULL, error = NULL WHERE tenant_id = $1 AND id = $2
"""
_DROP = "DELETE FROM tenancy.outbox WHERE tenant_id = $1 AND id = $2"
_FIXED = ("meta", "version")
"""Beside tenant and subject: what a shorter payload must say as the event did."""


async def list_parked(
    connection: asyncpg.Connection, event_id: UUID | None = None
) -> Sequence[asyncpg.Record]:
    """What is parked (under this id), oldest first, with how many events wait behind each; no payloads."""
    return await connection.fetch(_LIST, event_id)


async def read_payload(connection: asyncpg.Connection, tenant_id: UUID, event_id: UUID) -> str:
    """What the event says."""
    return str((await _lock(connection, tenant_id, event_id))["data"])


async def retry(
    connection: asyncpg.Connection,
    context: SystemContext,
    event_id: UUID,
    payload: str | None,
    *,
    dry_run: bool = False,
) -> int:
    """Have the event published, with a shorter payload if one is given; returns the bytes it has.

    Raises:
        Invalid: it is still too large, or the payload is not that of this event.
    """
    async with connection.transaction():
        row = await _lock(connection, context.tenant_id, event_id)
        data = row["data"] if payload is None else _checked(row, payload)
        size = size_of({**row, "data": data})
        if size > MAX_EVENT_BYTES:
            raise Invalid([("/data", f"it has {size} bytes, and {MAX_EVENT_BYTES} are taken")])
        if not dry_run:
            event = ParkedEventRetried(**_facts(row), shortened=payload is not None)
            await outbox.tell(connection, context, event)
            await connection.execute(_RELEASE, row["tenant_id"], row["id"], data)
    return size


async def drop(
    connection: asyncpg.Connection,
    context: SystemContext,
    event_id: UUID,
    reason: str,
    *,
    dry_run: bool = False,
) -> None:
    """Give the event up: nobody will ever hear of it, and its number stays missing."""
    async with connection.transaction():
        row = await _lock(connection, context.tenant_id, event_id)
        if not dry_run:
            await outbox.tell(connection, context, ParkedEventDropped(**_facts(row), reason=reason))
            await connection.execute(_DROP, row["tenant_id"], row["id"])


async def _lock(connection: asyncpg.Connection, tenant_id: UUID, event_id: UUID) -> asyncpg.Record:
    row = await connection.fetchrow(_LOCK, tenant_id, event_id)
    if row is None:
        raise Invalid([("/event", "it is not parked (any more)")])
    return row


def _checked(row: asyncpg.Record, payload: str) -> str:
    """The payload as the event's own class writes it.

    Raises:
        Invalid: it breaks the contract, or says what is not to be changed.
    """
    cls = find_type(row["type"])
    if cls is None:
        raise Invalid([("/data", f"nobody here knows what {row['type']} says")])
    try:
        event = cls.model_validate_json(payload)
    except ValueError as error:
        raise Invalid([("/data", f"it breaks the contract of {row['type']}: {error}")]) from error
    about = (getattr(event, "tenant_id", None), event.subject, _fixed_part(payload))
    if about != (row["tenant_id"], row["subject"], _fixed_part(row["data"])):
        raise Invalid([("/data", f"tenant, subject, {' and '.join(_FIXED)} must stay as they are")])
    return event.model_dump_json()


def _fixed_part(text: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(text).items() if name in _FIXED}


def _facts(row: asyncpg.Record) -> dict[str, Any]:
    return {"tenant_id": row["tenant_id"], "event_id": row["event_id"], "type": row["type"]}
