"""Reads and reservations of a month's sends."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row, text

from common.db.session import TenantSession

_LIMIT = text("""
SELECT (limits->>'email_sends_per_month')::bigint FROM tenancy.tenants WHERE tenant_id = :tenant
""")
_MONTHS = text("""
SELECT month, reserved, version FROM campaigns.monthly_sends
WHERE tenant_id = :tenant ORDER BY month FOR SHARE
""")
_RESERVED = text("SELECT reserved FROM campaigns.monthly_sends WHERE tenant_id = :tenant AND month = :month")
# Of two at once the second waits for the first and compares with what it left.
_RESERVE = text("""
INSERT INTO campaigns.monthly_sends AS m (tenant_id, month, reserved)
SELECT :tenant, :month, CAST(:count AS bigint) WHERE CAST(:count AS bigint) <= CAST(:maximum AS bigint)
ON CONFLICT (tenant_id, month)
DO UPDATE SET reserved = m.reserved + excluded.reserved, version = m.version + 1
WHERE m.tenant_id = :tenant AND m.reserved + excluded.reserved <= CAST(:maximum AS bigint)
RETURNING reserved, version
""")


async def get_limit(session: TenantSession) -> int:
    """`email_sends_per_month` of the tenant; 0 while it is not known here."""
    return int(await session.scalar(_LIMIT, {"tenant": session.tenant_id}) or 0)


async def get_reserved(session: TenantSession, month: date) -> int:
    """How much of the month is reserved."""
    values = {"tenant": session.tenant_id, "month": month}
    return int(await session.scalar(_RESERVED, values) or 0)


async def list_months(session: TenantSession) -> Sequence[Row[Any]]:
    """What is reserved of each month, and the version of that, held until the transaction ends."""
    return (await session.execute(_MONTHS, {"tenant": session.tenant_id})).all()


async def add_reserved(
    session: TenantSession, month: date, count: int, maximum: int
) -> tuple[int, int] | None:
    """Reserve `count` more: what is reserved now and its version; None when that is beyond `maximum`."""
    values = {"tenant": session.tenant_id, "month": month, "count": count, "maximum": maximum}
    row = (await session.execute(_RESERVE, values)).one_or_none()
    return None if row is None else (row.reserved, row.version)
