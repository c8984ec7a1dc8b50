"""Events that could not be handled, and those that wait behind them, until an operator retries or drops."""

import base64
import json
from collections.abc import Set
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from common.contracts.envelope import Envelope, storable
from common.db.session import TenantSession

_BURY = text("""
INSERT INTO tenancy.dead_letters
    (tenant_id, consumer, event_id, topic, type, subject, envelope, reason, attempts, holds, waiting)
VALUES (:tenant, :consumer, :event, :topic, :type, :subject, CAST(:envelope AS jsonb), :reason, :attempts,
        :holds, :waiting)
ON CONFLICT (tenant_id, consumer, event_id) DO NOTHING
""")
# Waits for an operator who is bringing one of them back; what is gone then is no obstacle.
_OBSTACLES = text("""
SELECT event_id FROM tenancy.dead_letters
WHERE tenant_id = :tenant AND consumer = :consumer
  AND (event_id = :event OR (holds AND subject = :subject))
ORDER BY place FOR SHARE
""")
_LETTER = "SELECT * FROM tenancy.dead_letters WHERE tenant_id = :tenant AND consumer = :consumer"
_FIND = text(f"{_LETTER} AND event_id = :event")
_LOCK = text(f"{_LETTER} AND event_id = :event FOR UPDATE")
_FRONT = text(f"{_LETTER} AND subject = :subject AND holds ORDER BY place LIMIT 1 FOR UPDATE")
_REMOVE = text("""
DELETE FROM tenancy.dead_letters WHERE tenant_id = :tenant AND consumer = :consumer AND event_id = :event
""")
_FAIL_AGAIN = text("""
UPDATE tenancy.dead_letters
SET reason = :reason, attempts = attempts + 1, holds = :holds, waiting = false, died_at = clock_timestamp()
WHERE tenant_id = :tenant AND consumer = :consumer AND event_id = :event
""")
WAITS = "waits behind a dead letter"

Letter = Row[Any]
"""A row of `tenancy.dead_letters`."""


async def bury(
    session: TenantSession,
    consumer: str,
    topic: str,
    envelope: Envelope,
    reason: str,
    attempts: int,
    *,
    holds: bool = False,
    waiting: bool = False,
) -> bool:
    """Store a dead letter (or one that waits behind another); False when it is there already."""
    record = {
        "headers": {name: storable(value.decode()) for name, value in envelope.headers()},
        "data": base64.b64encode(envelope.data).decode(),
    }
    result = await session.execute(
        _BURY,
        {
            **_key(session, consumer, envelope.event_id),
            "topic": topic,
            "type": storable(envelope.type),
            "subject": storable(envelope.subject),
            "envelope": json.dumps(record),
            "reason": reason,
            "attempts": attempts,
            "holds": holds,
            "waiting": waiting,
        },
    )
    return result.rowcount == 1  # type: ignore[attr-defined]


async def wait_behind(session: TenantSession, consumer: str, topic: str, envelope: Envelope) -> None:
    """Keep the event until what holds up its aggregate is retried or dropped."""
    await bury(session, consumer, topic, envelope, WAITS, 0, holds=True, waiting=True)


async def lock_obstacles(session: TenantSession, consumer: str, envelope: Envelope) -> Set[UUID]:
    """Ids of the letters because of which the event is not to be handled now; its own may be among them."""
    values = {**_key(session, consumer, envelope.event_id), "subject": storable(envelope.subject)}
    return {row.event_id for row in await session.execute(_OBSTACLES, values)}


async def find_letter(session: TenantSession, consumer: str, event_id: UUID) -> Letter | None:
    return (await session.execute(_FIND, _key(session, consumer, event_id))).one_or_none()


async def lock_letter(session: TenantSession, consumer: str, event_id: UUID) -> Letter | None:
    return (await session.execute(_LOCK, _key(session, consumer, event_id))).one_or_none()


async def lock_front(session: TenantSession, consumer: str, subject: str) -> Letter | None:
    """The oldest letter that holds up the aggregate, or waits in it."""
    values = {"tenant": session.tenant_id, "consumer": consumer, "subject": subject}
    return (await session.execute(_FRONT, values)).one_or_none()


async def remove_letter(session: TenantSession, letter: Letter) -> None:
    await session.execute(_REMOVE, _key(session, letter.consumer, letter.event_id))


async def note_failure(session: TenantSession, letter: Letter, reason: str, *, holds: bool) -> None:
    """The letter was tried again in vain; one that waited is dead from now on."""
    values = {**_key(session, letter.consumer, letter.event_id), "reason": reason, "holds": holds}
    await session.execute(_FAIL_AGAIN, values)


def envelope_of(letter: Letter) -> Envelope:
    """The event as it came.

    Raises:
        InvalidEvent: the record never was an event.
    """
    headers = {name: str(value).encode() for name, value in letter.envelope["headers"].items()}
    key = headers.get("ce_partitionkey")
    return Envelope.from_kafka(headers.items(), key, payload_of(letter))


def payload_of(letter: Letter) -> bytes:
    """The record's value, byte for byte."""
    return base64.b64decode(letter.envelope["data"])


def _key(session: TenantSession, consumer: str, event_id: UUID) -> dict[str, Any]:
    return {"tenant": session.tenant_id, "consumer": consumer, "event": event_id}
