"""Effects once: a handled event's id stands in the same transaction as its effects."""

from collections.abc import Sequence
from enum import Enum
from uuid import UUID

from sqlalchemy import text

from common.contracts.envelope import Envelope, find_type, storable
from common.db import dead_letters
from common.db.session import TenantSession

# Neither dead itself nor behind a dead event of its aggregate, nor of a tenant that is no more.
_CLAIM = text("""
INSERT INTO tenancy.inbox (tenant_id, consumer, event_id)
SELECT :tenant, :consumer, :event
WHERE NOT EXISTS (SELECT FROM tenancy.dead_letters AS d
        WHERE d.tenant_id = :tenant AND d.consumer = :consumer AND d.event_id = :event)
    AND NOT EXISTS (SELECT FROM tenancy.dead_letters AS d
        WHERE d.tenant_id = :tenant AND d.consumer = :consumer AND d.subject = :subject AND d.holds)
    AND (:outlives OR NOT EXISTS (SELECT FROM tenancy.tenants AS t
        WHERE t.tenant_id = :tenant AND t.status = 'deleted'))
ON CONFLICT (tenant_id, consumer, event_id) DO NOTHING
""")
# The same for several at once, taken in the order given.
_CLAIM_RUN = text("""
INSERT INTO tenancy.inbox (tenant_id, consumer, event_id)
SELECT :tenant, :consumer, run.event_id
FROM unnest(CAST(:events AS uuid[]), CAST(:subjects AS text[]), CAST(:outlives AS boolean[]))
    WITH ORDINALITY AS run (event_id, subject, outlives, place)
WHERE NOT EXISTS (SELECT FROM tenancy.dead_letters AS d
        WHERE d.tenant_id = :tenant AND d.consumer = :consumer AND d.event_id = run.event_id)
    AND NOT EXISTS (SELECT FROM tenancy.dead_letters AS d
        WHERE d.tenant_id = :tenant AND d.consumer = :consumer AND d.subject = run.subject AND d.holds)
    AND (run.outlives OR NOT EXISTS (SELECT FROM tenancy.tenants AS t
        WHERE t.tenant_id = :tenant AND t.status = 'deleted'))
ORDER BY run.place
ON CONFLICT (tenant_id, consumer, event_id) DO NOTHING RETURNING event_id
""")
_REDRIVE = text("""
INSERT INTO tenancy.inbox (tenant_id, consumer, event_id)
SELECT :tenant, :consumer, :event
WHERE :outlives OR NOT EXISTS (SELECT FROM tenancy.tenants AS t
    WHERE t.tenant_id = :tenant AND t.status = 'deleted')
ON CONFLICT (tenant_id, consumer, event_id) DO NOTHING
""")
_HANDLED = text("""
SELECT true FROM tenancy.inbox WHERE tenant_id = :tenant AND consumer = :consumer AND event_id = :event
""")


_ENDED = text("SELECT true FROM tenancy.tenants WHERE tenant_id = :tenant AND status = 'deleted'")


class Claim(Enum):
    """What became of an attempt to take an event: it is ours, or there is nothing to do."""

    OURS = "ours"
    HANDLED = "handled"
    BURIED = "buried"
    HELD = "held"
    """It must wait behind a dead letter; nothing has been written of it yet."""
    ENDED = "ended"
    """Its tenant is deleted: it has no effect, now or ever."""


async def claim(session: TenantSession, consumer: str, envelope: Envelope) -> Claim:
    """Take the event for this transaction, unless it was handled before or must not be handled now."""
    values = {
        "tenant": session.tenant_id,
        "consumer": consumer,
        "event": envelope.event_id,
        "subject": storable(envelope.subject),
        "outlives": _outlives(envelope),
    }
    while True:
        result = await session.execute(_CLAIM, values)
        if result.rowcount == 1:  # type: ignore[attr-defined]
            return Claim.OURS
        if await was_handled(session, consumer, envelope):
            return Claim.HANDLED
        obstacles = await dead_letters.lock_obstacles(session, consumer, envelope)
        if envelope.event_id in obstacles:
            return Claim.BURIED
        if obstacles:
            return Claim.HELD
        if await is_over(session, envelope):
            return Claim.ENDED


async def claim_run(session: TenantSession, consumer: str, envelopes: Sequence[Envelope]) -> set[UUID]:
    """Take those events for this transaction that nothing stands against; the ids of what is ours."""
    values = {
        "tenant": session.tenant_id,
        "consumer": consumer,
        "events": [envelope.event_id for envelope in envelopes],
        "subjects": [storable(envelope.subject) for envelope in envelopes],
        "outlives": [_outlives(envelope) for envelope in envelopes],
    }
    return set((await session.execute(_CLAIM_RUN, values)).scalars())


async def claim_again(session: TenantSession, consumer: str, envelope: Envelope) -> bool:
    """Take an event that an operator has brought back; False when it was handled after all, or its tenant
    is no more."""
    values = {
        "tenant": session.tenant_id,
        "consumer": consumer,
        "event": envelope.event_id,
        "outlives": _outlives(envelope),
    }
    result = await session.execute(_REDRIVE, values)
    return result.rowcount == 1  # type: ignore[attr-defined]


async def was_handled(session: TenantSession, consumer: str, envelope: Envelope) -> bool:
    """Whether `consumer` has committed the event's effects."""
    values = {"tenant": session.tenant_id, "consumer": consumer, "event": envelope.event_id}
    return (await session.execute(_HANDLED, values)).first() is not None


async def is_over(session: TenantSession, envelope: Envelope) -> bool:
    """Whether the event's tenant is deleted, and the event with it."""
    if _outlives(envelope):
        return False
    return (await session.execute(_ENDED, {"tenant": session.tenant_id})).first() is not None


def _outlives(envelope: Envelope) -> bool:
    event = find_type(envelope.type)
    return event is not None and event.OUTLIVES_TENANT
