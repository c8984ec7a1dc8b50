"""What suspends a tenant, and what ends that."""

from typing import Literal

from common.bus import outbox
from common.contracts.tenants import TenantReactivated, TenantSuspended
from common.db.session import TenantSession
from tenants.models import CompanyRow

Cause = Literal["operator", "unpaid"]


async def suspend(session: TenantSession, row: CompanyRow, cause: Cause) -> None:
    """Suspend the tenant of the locked `row`; a cause already in force changes nothing.

    A tenant that is being deleted is not told: it can do even less. The cause is kept for the case that the
    deletion is cancelled.
    """
    if cause in row.suspensions:
        return
    row.suspensions = sorted([*row.suspensions, cause])
    if row.status != "active":
        return
    row.status = "suspended"
    await session.flush()
    await outbox.emit(
        session, TenantSuspended(tenant_id=session.tenant_id, version=row.version, reason=cause)
    )


async def reactivate(session: TenantSession, row: CompanyRow, cause: Cause) -> None:
    """Lift one cause from the locked `row`; the tenant is active again when no other is left."""
    if cause not in row.suspensions:
        return
    row.suspensions = [other for other in row.suspensions if other != cause]
    if row.suspensions or row.status != "suspended":
        return
    row.status = "active"
    await session.flush()
    await outbox.emit(session, TenantReactivated(tenant_id=session.tenant_id, version=row.version))
