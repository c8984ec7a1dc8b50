"""What can be done about an export."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from common.bus import outbox
from common.contracts.tenants import (
    TenantExportFailed,
    TenantExportFinished,
    TenantExportRequested,
    TenantPartExported,
)
from common.db.lookup import database_time
from common.db.session import TenantSession
from common.ids import new_id
from tenants.export import queries
from tenants.export.rules import LINK_LASTS, PARTS, PATIENCE, missing_parts
from tenants.models import CompanyRow, ExportPartRow, ExportRow

NEVER = datetime.max.replace(tzinfo=UTC)
"""PostgreSQL's infinity."""


async def request(session: TenantSession, company: CompanyRow) -> ExportRow:
    """Have a copy made of all that is the tenant's, the locked `company`; or wait for the one being made."""
    running = await queries.find_running(session)
    if running is not None:
        return running
    give_up_at = await database_time(session) + PATIENCE
    row = ExportRow(job_id=new_id(), status="queued", next_step_at=give_up_at)
    session.add(row)
    await session.flush()
    await outbox.emit(session, TenantExportRequested(**_facts_of(row)))
    return row


async def note_part(session: TenantSession, event: TenantPartExported) -> None:
    """A service has written its part; with the last one the archive can be put together."""
    row = await queries.lock_export(session, event.job_id)
    if row is not None and row.status == "failed":  # its files are erased already, this one came after
        row.next_step_at = await database_time(session)
        await session.flush()
    if row is None or row.status not in ("queued", "running"):
        return
    resources = {one.resource: one.rows for one in event.resources}
    part = {"tenant_id": session.tenant_id, "job_id": row.job_id, "service": event.service}
    await session.execute(insert(ExportPartRow).values(**part, resources=resources).on_conflict_do_nothing())
    row.status = "running"
    if set(await queries.list_parts(session, row.job_id)) >= PARTS:
        row.next_step_at = await database_time(session)
    await session.flush()


async def finish(session: TenantSession, row: ExportRow) -> None:
    """The archive of the locked `row` is there, for a while."""
    expires_at = await database_time(session) + LINK_LASTS
    row.status, row.expires_at, row.next_step_at = "done", expires_at, expires_at
    await session.flush()
    await outbox.emit(session, TenantExportFinished(**_facts_of(row), expires_at=expires_at))


async def give_up(session: TenantSession, row: ExportRow, lost: Iterable[str] = ()) -> None:
    """Not all parts of the locked `row` came in time, or those of `lost` are not to be had any more.

    Its files are looked for once more when nobody can be writing any of them.
    """
    written = await queries.list_parts(session, row.job_id)
    missing = sorted({*missing_parts(written), *lost})
    row.status, row.error = "failed", "parts_missing"
    row.next_step_at = await database_time(session) + PATIENCE
    await session.flush()
    await outbox.emit(session, TenantExportFailed(**_facts_of(row), missing=tuple(missing)))


def _facts_of(row: ExportRow) -> dict[str, Any]:
    """What every event of the export says."""
    return {"tenant_id": row.tenant_id, "job_id": row.job_id, "version": row.version}
