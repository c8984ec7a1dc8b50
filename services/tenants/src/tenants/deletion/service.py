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
    TenantDeletionResumed,
    TenantDeletionScheduled,
    TenantErased,
    TenantErasureAwaited,
)
from common.db.lookup import database_time
from common.db.session import TenantSession
from common.errors import NotFound, ResourceNotFound
from common.ids import Kind, to_text
from common.retention import events_last
from tenants.deletion import queries
from tenants.deletion.errors import CompanyNameMismatch, DeletionScheduled
from tenants.deletion.rules import (
    LEASE,
    SERVICES,
    SWEEP,
    make_certificate,
    missing_reports,
    reminder_delay,
    retry_delay,
    rows_erased,
)
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
    now = await database_time(session)
    row = DeletionRow(scheduled_at=now, erase_at=now + grace, next_step_at=now + grace)
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
    if row.begun_at is not None or row.erase_at <= await database_time(session):
        raise NotFound
    await session.delete(row)
    status: Literal["active", "suspended"] = "suspended" if company.suspensions else "active"
    company.status = status
    await session.flush()
    event = TenantDeletionCancelled(tenant_id=session.tenant_id, version=company.version, status=status)
    await outbox.emit(session, event)


async def begin_step(session: TenantSession) -> DeletionRow | None:
    """Make the tenant's due step ours for a lease; None when there is none or somebody is at it.

    From the first on nothing can be cancelled: what the tenant pays for may have ended by then.
    """
    row = await queries.claim_due(session)
    if row is None:
        return None
    row.attempts += 1
    row.begun_at = row.begun_at or await database_time(session)
    await session.flush()
    await queries.stand_back(session, LEASE + retry_delay(row.attempts))
    return row


async def put_off(session: TenantSession, problem: str) -> None:
    """The tenant could not be deleted: say why, try again later; nothing when another has deleted it."""
    row = await queries.lock_deletion(session)
    if row is None or row.deleted_at is not None:
        return
    row.problem = problem
    await session.flush()
    await queries.stand_back(session, retry_delay(row.attempts))


async def hasten(session: TenantSession) -> None:
    """Have the next step taken now, on an operator's word; before the grace is over there is none."""
    if await queries.find_deletion(session) is None:
        return
    version = await _lock_version(session)
    row = await queries.lock_deletion(session)
    now = await database_time(session)
    if row is None or row.certified_at is not None or row.erase_at > now:
        return
    row.next_step_at = now
    await session.flush()
    await outbox.emit(session, TenantDeletionResumed(tenant_id=session.tenant_id, version=version))


async def _lock_version(session: TenantSession) -> int:
    """The tenant's version, which stays so until the transaction ends; of an erased one, its deletion's."""
    try:
        return (await lock_company(session)).version
    except ResourceNotFound:
        return await queries.get_version(session)


async def delete(session: TenantSession) -> None:
    """Say that the tenant is deleted, once; nothing of it is charged any more."""
    if await _is_deleted(session):
        return
    company = await lock_company(session)
    row = await queries.lock_deletion(session)
    if row is None or row.deleted_at is not None:
        return
    company.status = "deleted"
    row.deleted_at, row.attempts, row.problem = await database_time(session), 0, None
    await session.flush()
    await queries.stand_back(session, reminder_delay(0))
    await outbox.emit(session, TenantDeleted(tenant_id=session.tenant_id, version=company.version))


async def _is_deleted(session: TenantSession) -> bool:
    row = await queries.find_deletion(session)
    return row is None or row.deleted_at is not None


async def follow_up(session: TenantSession, retention_days: int) -> None:
    """Remind who has not reported; when all have, wait for their events to run out, and certify that."""
    row = await queries.lock_deletion(session)
    if row is None or row.deleted_at is None or row.certified_at is not None:
        return
    now = await database_time(session)
    if row.erased_at is None:
        await _remind(session, row)
    elif (gone_at := row.erased_at + events_last(retention_days)) <= now:
        await _certify(session, row, now, gone_at, retention_days)
    else:
        await queries.stand_back(session, gone_at - now)


async def _remind(session: TenantSession, row: DeletionRow) -> None:
    reported = [report.service for report in await queries.list_reports(session)]
    missing = tuple(missing_reports(reported))
    row.problem = "reports_missing"
    await session.flush()
    await queries.stand_back(session, reminder_delay(row.attempts))
    version = await queries.get_version(session)
    event = TenantErasureAwaited(tenant_id=session.tenant_id, version=version, services=missing)
    await outbox.emit(session, event)


async def _certify(
    session: TenantSession, row: DeletionRow, now: datetime, gone_at: datetime, retention_days: int
) -> None:
    reports = {report.service: report.report for report in await queries.list_reports(session)}
    times = {
        "scheduled_at": row.scheduled_at,
        "deleted_at": row.deleted_at,
        "events_gone_at": gone_at,
        "certified_at": now,
    }
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
        row.erased_at, row.problem = await database_time(session), None
        await session.flush()
        await queries.stand_back(session, SWEEP)


def _report(event: TenantErased) -> Mapping[str, Any]:
    return {
        "version": event.version,
        "erased": {one.table: one.rows for one in event.erased},
        "kept": {one.what: one.why for one in event.kept},
    }
