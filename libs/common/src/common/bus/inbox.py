"""Effects once: a handled event's id stands in the same transaction as its effects."""

from uuid import UUID

from sqlalchemy import text

from common.db.session import TenantSession

_CLAIM = text(
    "INSERT INTO tenancy.inbox (tenant_id, consumer, event_id) VALUES (:tenant, :consumer, :event) "
    "ON CONFLICT (tenant_id, consumer, event_id) DO NOTHING"
)


async def claim(session: TenantSession, consumer: str, event_id: UUID) -> bool:
    """Take the event for this transaction; False when `consumer` handled it before."""
    values = {"tenant": session.tenant_id, "consumer": consumer, "event": event_id}
    result = await session.execute(_CLAIM, values)
    return result.rowcount == 1  # type: ignore[attr-defined]
