"""A deletion as operators see it."""

from typing import Any

from common.db.session import TenantSession
from tenants.deletion import queries
from tenants.deletion.rules import missing_reports, status_of
from tenants.deletion.schemas import DeletionDetail, DeletionSummary
from tenants.models import DeletionRow


async def present(session: TenantSession, row: DeletionRow) -> DeletionDetail:
    """All of one deletion, with its certificate when there is one."""
    reported = [report.service for report in await queries.list_reports(session)]
    return DeletionDetail(**_facts(row, reported), certificate=row.certificate)


def summarise(row: Any) -> DeletionSummary:
    """A deletion as `queries.find_deletions` reads it."""
    return DeletionSummary(**_facts(row, row.reported))


def _facts(row: Any, reported: list[str]) -> dict[str, Any]:
    return {
        "tenant_id": row.tenant_id,
        "status": status_of(row.begun_at is not None, row.certified_at is not None),
        "scheduled_at": row.scheduled_at,
        "erase_at": row.erase_at,
        "begun_at": row.begun_at,
        "deleted_at": row.deleted_at,
        "erased_at": row.erased_at,
        "next_step_at": row.next_step_at,
        "certified_at": row.certified_at,
        "attempts": row.attempts,
        "problem": row.problem,
        "reported": reported,
        "missing": missing_reports(reported) if row.deleted_at is not None else [],
    }
