"""Reads of deletions."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, text

from common.db.session import TenantSession
from tenants.models import DeletionRow, ErasureReportRow, SignUpKeyRow

_DUE_TENANTS = text("SELECT tenants.due_deletions(:batch, :retention)")


async def find_deletion(session: TenantSession) -> DeletionRow | None:
    """The tenant's deletion, or None while it is to stay."""
    return await session.scalar(select(DeletionRow))


async def lock_deletion(session: TenantSession) -> DeletionRow | None:
    """The tenant's deletion, locked; None while it is to stay."""
    statement = select(DeletionRow).with_for_update().execution_options(populate_existing=True)
    return await session.scalar(statement)


async def list_reports(session: TenantSession) -> Sequence[ErasureReportRow]:
    """What the services have said."""
    return (await session.scalars(select(ErasureReportRow).order_by(ErasureReportRow.service))).all()


async def list_due_tenants(session: TenantSession, batch: int, retention: timedelta) -> Sequence[UUID]:
    """Tenants whose grace, or the retention of whose events, is over; for the platform's tenant."""
    return (await session.scalars(_DUE_TENANTS, {"batch": batch, "retention": retention})).all()


async def forget_sign_up(session: TenantSession, tenant_id: UUID) -> None:
    """Forget the key that a tenant was made with; in a context of the platform's tenant, whose row it is."""
    await session.execute(delete(SignUpKeyRow).where(SignUpKeyRow.new_tenant_id == tenant_id))
