"""Reads of exports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from common.db.lookup import get_one
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from tenants.models import ExportPartRow, ExportRow

_LIST = text("SELECT * FROM tenants.list_exports(:status, :tenant, :before, :batch)")
_DUE_TENANTS = text("SELECT tenants.due_exports(:batch)")


async def get_export(session: TenantSession, job_id: UUID) -> ExportRow:
    """One export.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    missing = ResourceNotFound("job", job_id, to_text(Kind.JOB, job_id))
    return await get_one(session, select(ExportRow).where(ExportRow.job_id == job_id), missing)


async def find_running(session: TenantSession) -> ExportRow | None:
    """The export that is not finished yet."""
    return await session.scalar(select(ExportRow).where(ExportRow.status.in_(("queued", "running"))))


@dataclass(frozen=True, slots=True)
class WantedExports:
    """Which exports: those with this status, those of this tenant."""

    status: str | None = None
    tenant_id: UUID | None = None


async def find_exports(
    session: TenantSession, wanted: WantedExports, before: UUID | None, batch: int
) -> Sequence[Any]:
    """At most `batch` exports older than `before`, newest first; in the platform's own context only."""
    values = {"status": wanted.status, "tenant": wanted.tenant_id, "before": before, "batch": batch}
    return (await session.execute(_LIST, values)).all()


async def list_parts(session: TenantSession, job_id: UUID) -> Sequence[str]:
    """Which services have written their part."""
    statement = select(ExportPartRow.service).where(ExportPartRow.job_id == job_id)
    return (await session.scalars(statement.order_by(ExportPartRow.service))).all()


async def lock_export(session: TenantSession, job_id: UUID) -> ExportRow | None:
    """One export, locked."""
    return await session.scalar(select(ExportRow).where(ExportRow.job_id == job_id).with_for_update())


async def claim_due(session: TenantSession) -> ExportRow | None:
    """An export of the tenant that is due and that nobody is at, locked."""
    statement = select(ExportRow).where(ExportRow.next_step_at <= func.clock_timestamp())
    return await session.scalar(
        statement.order_by(ExportRow.job_id).limit(1).with_for_update(skip_locked=True)
    )


async def list_due_tenants(session: TenantSession, batch: int) -> Sequence[UUID]:
    """Tenants with exports to look at; in a context of the platform's tenant."""
    return (await session.scalars(_DUE_TENANTS, {"batch": batch})).all()
