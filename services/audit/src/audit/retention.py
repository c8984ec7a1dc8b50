"""Takes from a tenant's log, and what was kept beside it, what is older than its feature
`data_retention_days`, and leaves proof of it."""

from sqlalchemy import text

from common.bus import outbox
from common.contracts.audit import AuditLogTrimmed
from common.db.session import TenantSession

BATCH = 2000

_TRIM = text("SELECT days, first, last, trimmed, records FROM audit.trim(:batch)")


async def trim_log(session: TenantSession) -> bool:
    """Take a batch from the old end, and say so in the same transaction; whether there may be more."""
    row = (await session.execute(_TRIM, {"batch": BATCH})).one()
    if not row.trimmed and not row.records:
        return False
    event = AuditLogTrimmed(
        tenant_id=session.tenant_id,
        retention_days=row.days,
        events=row.trimmed,
        records=row.records,
        first=row.first,
        last=row.last,
    )
    await outbox.emit(session, event)
    return True
