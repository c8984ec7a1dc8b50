"""Reads of the log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, false, func, or_, select, true, tuple_
from sqlalchemy.orm import aliased

from audit.event.schemas import Filters
from audit.models import DRIFT, ContextRow, EventRow, VerdictRow
from common.db.paging import Cursors
from common.db.session import TenantSession
from common.errors import InvalidCursor, ResourceNotFound
from common.ids import Kind, created_at, to_text

LISTING = "audit.events"
Line = Row[EventRow, ContextRow, Any, Any]

_KEY = ("tenant_id", "event_id", "occurred_at")
_VERDICT = (
    select(VerdictRow.revision, VerdictRow.flag, VerdictRow.severity)
    .where(*(getattr(VerdictRow, name) == getattr(EventRow, name) for name in _KEY))
    .order_by(VerdictRow.revision.desc())
    .limit(1)
    .correlate(EventRow)
    .lateral("verdict")
)
_BEHIND = and_(
    ContextRow.tenant_id == EventRow.tenant_id,
    ContextRow.event_id == EventRow.event_id,
    ContextRow.occurred_at.between(EventRow.occurred_at - DRIFT, EventRow.occurred_at + DRIFT),
)
_SEARCHED = (
    EventRow.action,
    EventRow.actor_id,
    EventRow.target_id,
    EventRow.route,
    EventRow.request_id,
    EventRow.trace_id,
    EventRow.email,
    EventRow.ip,
    ContextRow.route,
    ContextRow.email,
    ContextRow.ip,
)


async def list_events(
    session: TenantSession, cursors: Cursors, filters: Filters, limit: int, cursor: str | None
) -> tuple[Sequence[Line], str | None]:
    """One page, newest first, and the next cursor."""
    statement = _lines(filters.flag).where(*_conditions(filters))
    if cursor is not None:
        place = await _place(session, cursors.decode(session.tenant_id, LISTING, cursor))
        statement = statement.where(tuple_(EventRow.occurred_at, EventRow.event_id) < tuple_(*place))
    statement = statement.order_by(EventRow.occurred_at.desc(), EventRow.event_id.desc()).limit(limit + 1)
    lines = (await session.execute(statement)).all()
    if len(lines) <= limit:
        return lines, None
    last = lines[limit - 1][0].event_id
    return lines[:limit], cursors.encode(session.tenant_id, LISTING, last)


async def get_event(session: TenantSession, event_id: UUID) -> Line:
    """One event.

    Raises:
        ResourceNotFound: not in this tenant's log.
    """
    line = (await session.execute(_lines().where(_is(event_id)))).one_or_none()
    if line is None:
        raise ResourceNotFound("audit_event", event_id, to_text(Kind.AUDIT_EVENT, event_id))
    return line


def _lines(flag: str | None = None) -> Select[EventRow, ContextRow, Any, Any]:
    """Events with the request behind them and the verdict that counts, which has `flag` when one is given."""
    statement = (
        select(EventRow, ContextRow, _VERDICT.c.flag, _VERDICT.c.severity)
        .outerjoin(ContextRow, _BEHIND)
        .outerjoin(_VERDICT, true())
    )
    if flag is None:
        return statement
    flagged = aliased(VerdictRow)
    matches = and_(
        *(getattr(flagged, name) == getattr(EventRow, name) for name in _KEY),
        flagged.revision == _VERDICT.c.revision,
        flagged.flag == flag,
    )
    return statement.join(flagged, matches)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    equal = {
        EventRow.actor_id: filters.actor,
        EventRow.action: filters.action,
        EventRow.target_id: filters.target,
        EventRow.outcome: filters.outcome,
        func.coalesce(_VERDICT.c.severity, EventRow.severity): filters.severity,
    }
    conditions = [column == value for column, value in equal.items() if value is not None]
    if filters.since is not None:
        conditions.append(EventRow.occurred_at >= filters.since)
    if filters.until is not None:
        conditions.append(EventRow.occurred_at < filters.until)
    if filters.q is not None:
        conditions.append(or_(*(column.icontains(filters.q, autoescape=True) for column in _SEARCHED)))
    return conditions


async def _place(session: TenantSession, event_id: UUID) -> tuple[datetime, UUID]:
    """Where the event stands in the order of the log.

    Raises:
        InvalidCursor: it stands there no longer.
    """
    occurred_at = await session.scalar(select(EventRow.occurred_at).where(_is(event_id)))
    if occurred_at is None:
        raise InvalidCursor
    return occurred_at, event_id


def _is(event_id: UUID) -> ColumnElement[bool]:
    """The event by id; the time in the id narrows it down to a few days' partitions."""
    born = created_at(event_id)
    if born is None:
        return false()
    near = EventRow.occurred_at.between(born - DRIFT, born + DRIFT)
    return and_(EventRow.event_id == event_id, near)
