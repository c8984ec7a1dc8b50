"""What can be done about the deletion of a tenant."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy.dialects.postgresql import insert

from common import clock
from common.bus import outbox
from common.contracts.tenants import (
    TenantDeleted,
    TenantDeletionCancelled,
    TenantDeletionCertified,
    TenantDeletionScheduled,
    TenantErased,
)
from common.db.session import TenantSession
from common.errors import NotFound
from common.ids import Kind, to_text
from tenants.deletion import queries
from tenants.deletion.errors import CompanyNameMismatch, DeletionScheduled
from tenants.deletion.rules import SERVICES, events_last, make_certificate, rows_erased
from tenants.models import CompanyRow, DeletionRow, ErasureReportRow
from tenants.tenant.queries import lock_company


async def schedule(
    session: TenantSession, company: CompanyRow, company_name: str, grace: timedelta
) -> DeletionRow:
    """Have the tenant of the locked `company` deleted when `grace` is over.

    Raises:
        CompanyNameMismatch: `company_name` is not its name.
        DeletionScheduled: that is so already.
    """
    if company_name != company.company_name:
        raise CompanyNameMismatch
    if company.status in ("deleting", "deleted"):
        raise DeletionScheduled
    now = clock.now()
    row = DeletionRow(scheduled_at=now, erase_at=now + grace)
    session.add(row)
    company.status = "deleting"
    await session.flush()
    await outbox.emit(
        session,
        TenantDeletionScheduled(tenant_id=session.tenant_id, version=company.version, erase_at=row.erase_at),
    )
    return row


async def cancel(session: TenantSession, company: CompanyRow) -> None:
    """Let the tenant of the locked `company` stay, suspended if there is a cause for that.

    Raises:
        NotFound: its grace is over.
    """
    row = await queries.lock_deletion(session)
    if row is None:
        return
    if row.deleted_at is not None or row.erase_at <= clock.now():
        raise NotFound
    await session.delete(row)
    status: Literal["active", "suspended"] = "suspended" if company.suspensions else "active"
    company.status = status
    await session.flush()
    event = TenantDeletionCancelled(tenant_id=session.tenant_id, version=company.version, status=status)
    await outbox.emit(session, event)


async def is_due(session: TenantSession) -> bool:
    """Whether the tenant's grace is over and it is not deleted yet, held so until the transaction ends."""
    row = await queries.lock_deletion(session)
    return row is not None and row.deleted_at is None and row.erase_at <= clock.now()


async def conclude(session: TenantSession, retention_days: int) -> None:
    """Take the next step if it is due: the deletion itself, or the certificate."""
    company = await lock_company(session) if await _is_still_there(session) else None
    row = await queries.lock_deletion(session)
    now = clock.now()
    if row is None or row.certified_at is not None:
        return
    if row.deleted_at is None and row.erase_at <= now and company is not None:
        await _delete(session, company, row, now)
    elif row.erased_at is not None and row.erased_at + events_last(retention_days) <= now:
        await _certify(session, row, now, retention_days)


async def _is_still_there(session: TenantSession) -> bool:
    row = await queries.find_deletion(session)
    return row is not None and row.deleted_at is None


async def _delete(session: TenantSession, company: CompanyRow, row: DeletionRow, now: datetime) -> None:
    company.status = "deleted"
    row.deleted_at = now
    await session.flush()
    await outbox.emit(session, TenantDeleted(tenant_id=session.tenant_id, version=company.version))


async def _certify(session: TenantSession, row: DeletionRow, now: datetime, retention_days: int) -> None:
    reports = {report.service: report.report for report in await queries.list_reports(session)}
    times = {"scheduled_at": row.scheduled_at, "deleted_at": row.deleted_at, "certified_at": now}
    texts = {name: clock.rfc3339(time) for name, time in times.items() if time is not None}
    tenant = to_text(Kind.TENANT, session.tenant_id)
    certificate = make_certificate(tenant, texts, reports, retention_days)
    row.certificate, row.certified_at = certificate, now
    await session.flush()
    await outbox.emit(
        session,
        TenantDeletionCertified(
            tenant_id=session.tenant_id,
            version=max(report["version"] for report in reports.values()),
            services=tuple(sorted(reports)),
            rows=rows_erased(certificate),
        ),
    )


async def note_erasure(session: TenantSession, event: TenantErased) -> None:
    """A service has erased the tenant; after the last of them its events may run out."""
    row = await queries.lock_deletion(session)
    if row is None or row.deleted_at is None:
        return
    statement = insert(ErasureReportRow).values(
        tenant_id=session.tenant_id, service=event.service, report=_report(event)
    )
    await session.execute(statement.on_conflict_do_nothing())
    reported = {report.service for report in await queries.list_reports(session)}
    if reported >= SERVICES and row.erased_at is None:
        row.erased_at = clock.now()
        await session.flush()


def _report(event: TenantErased) -> Mapping[str, Any]:
    return {
        "version": event.version,
        "erased": {one.table: one.rows for one in event.erased},
        "kept": {one.what: one.why for one in event.kept},
    }
