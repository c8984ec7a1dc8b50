"""An export as operators see it: how far it is, never the archive or the way to it."""

from typing import Any

from common.db.session import TenantSession
from tenants.export import queries
from tenants.export.rules import missing_parts
from tenants.export.schemas import ExportState
from tenants.models import ExportRow


async def present(session: TenantSession, row: ExportRow) -> ExportState:
    """One export of the session's tenant."""
    return _state(row, [*await queries.list_parts(session, row.job_id)])


def summarise(row: Any) -> ExportState:
    """An export as `queries.find_exports` reads it."""
    return _state(row, row.written)


def _state(row: Any, written: list[str]) -> ExportState:
    return ExportState(
        tenant_id=row.tenant_id,
        job_id=row.job_id,
        status=row.status,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        written=written,
        missing=missing_parts(written),
        error=row.error,
    )
