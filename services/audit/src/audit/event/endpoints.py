"""Routes `/api/v1/audit/events`."""

from typing import Annotated

from fastapi import Query

from audit.event import queries
from audit.event.presentation import show
from audit.event.schemas import AuditEvent, Filters
from common.ids import AuditEventId
from common.schema import Page
from common.web.deps import Cursor, Limit, Session, Shared, owner_or_admin
from common.web.routes import tenant_router

router = tenant_router("/audit/events", "audit log")


@router.get("", operation_id="listAuditEvents", dependencies=[owner_or_admin])
async def list_audit_events(
    session: Session,
    shared: Shared,
    filters: Annotated[Filters, Query()],
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[AuditEvent]:
    """What happened in the tenant, newest first."""
    lines, next_cursor = await queries.list_events(session, shared.cursors, filters, limit, cursor)
    return Page(data=[show(line) for line in lines], next_cursor=next_cursor)


@router.get("/{event_id}", operation_id="getAuditEvent", dependencies=[owner_or_admin])
async def get_audit_event(event_id: AuditEventId, session: Session) -> AuditEvent:
    """One event."""
    return show(await queries.get_event(session, event_id))
