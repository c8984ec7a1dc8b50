"""Events that could not be handled, kept until somebody retries or drops them."""

import base64
import json

from sqlalchemy import text

from common.contracts.envelope import Envelope, storable
from common.db.session import TenantSession

_BURY = text("""
INSERT INTO tenancy.dead_letters
    (tenant_id, consumer, event_id, topic, type, subject, envelope, reason, attempts)
VALUES (:tenant, :consumer, :event, :topic, :type, :subject, CAST(:envelope AS jsonb), :reason, :attempts)
ON CONFLICT (tenant_id, consumer, event_id) DO NOTHING
""")


async def bury(
    session: TenantSession, consumer: str, topic: str, envelope: Envelope, reason: str, attempts: int
) -> bool:
    """Store a dead letter; False when it is there already."""
    record = {
        "headers": {name: storable(value.decode()) for name, value in envelope.headers()},
        "data": base64.b64encode(envelope.data).decode(),
    }
    result = await session.execute(
        _BURY,
        {
            "tenant": session.tenant_id,
            "consumer": consumer,
            "event": envelope.event_id,
            "topic": topic,
            "type": storable(envelope.type),
            "subject": storable(envelope.subject),
            "envelope": json.dumps(record),
            "reason": reason,
            "attempts": attempts,
        },
    )
    return result.rowcount == 1  # type: ignore[attr-defined]
