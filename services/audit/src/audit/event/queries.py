"""Reads of the log.

A page is read in two steps: where it lies in the index that is followed, then what lies there. The second
names its days, so that the planner looks at no other partition. While searching for what no index finds, a
page looks at no more than a window of the index, so that no combination of filters can make it slow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, func, or_, select, true, tuple_
from sqlalchemy.orm import aliased

from audit.event.schemas import Filters
from audit.models import DRIFT, ContextRow, EventRow, VerdictRow
from common.db.paging import Cursors
from common.db.session import TenantSession
from common.errors import InvalidCursor, ResourceNotFound
from common.ids import Kind, created_at, to_text

LISTING = "audit.events"
EVENTS_WINDOW = 3_000
VERDICTS_WINDOW = 500
"""Entries that one page looks at while it searches."""
Line = Row[EventRow, ContextRow, Any, Any]
Lines = Select[EventRow, ContextRow, Any, Any]
Condition = ColumnElement[bool]

_KEY = ("tenant_id", "event_id", "occurred_at")
_OF_EVENTS = ("action", "actor_id", "target_id", "route", "request_id", "trace_id", "email", "ip")
_OF_CONTEXTS = ("route", "email", "ip")


@dataclass(frozen=True, slots=True)
class Span:
    """The part of the log that a page comes from: times, both included."""

    first: datetime
    last: datetime


async def list_events(
    session: TenantSession, cursors: Cursors, filters: Filters, limit: int, cursor: str | None
) -> tuple[Sequence[Line], str | None]:
    """One page, newest first, and the next cursor.

    When a search leaves its window, the page is short (or empty) though it is not the last.
    """
    index = _followed(filters)
    if cursor is not None:
        after = cursors.decode(session.tenant_id, LISTING, cursor)
        index = index.where(_place(index) < tuple_(await _time_of(session, after), after))
    window = _window(filters) or limit
    found = await _positions(session, index, window)
    if not found:
        return [], None
    last = found[:window][-1]
    index = index.order_by(None).where(_place(index) >= tuple_(last.occurred_at, last.event_id))
    lines = _lines(filters, index, Span(last.occurred_at, found[0].occurred_at))
    rows = (await session.execute(lines.limit(limit + 1))).all()
    end = last.event_id if len(found) > window else None
    if len(rows) > limit:
        rows, end = rows[:limit], rows[limit - 1][0].event_id
    return rows, cursors.encode(session.tenant_id, LISTING, end) if end else None


async def get_event(session: TenantSession, event_id: UUID) -> Line:
    """One event.

    Raises:
        ResourceNotFound: not in this tenant's log.
    """
    born = created_at(event_id)
    if born is not None:
        found = select(EventRow).where(EventRow.event_id == event_id)
        lines = _lines(Filters(), found, Span(born - DRIFT, born + DRIFT))
        line = (await session.execute(lines)).one_or_none()
        if line is not None:
            return line
    raise ResourceNotFound("audit_event", event_id, to_text(Kind.AUDIT_EVENT, event_id))


def _follows_verdicts(filters: Filters) -> bool:
    """Whether verdicts lead to the events: there are few, unless one actor's or target's are fewer."""
    return _asks_for_verdicts(filters) and filters.actor is None and filters.target is None


def _asks_for_verdicts(filters: Filters) -> bool:
    """Events without a verdict are `info` and have no flag."""
    return filters.flag is not None or filters.severity not in (None, "info")


def _window(filters: Filters) -> int | None:
    """How far to look when the index followed does not answer some filter; None when it answers all."""
    if _follows_verdicts(filters):
        searching = any((filters.q, filters.action, filters.outcome))
        return VERDICTS_WINDOW if searching else None
    searching = any((filters.q, filters.flag, filters.severity))
    return EVENTS_WINDOW if searching else None


def _followed(filters: Filters) -> Select[Any]:
    """The index to follow, newest first."""
    row = VerdictRow if _follows_verdicts(filters) else EventRow
    conditions = _on_verdicts(filters) if row is VerdictRow else _on_events(filters, EventRow)
    if filters.since is not None:
        conditions.append(row.occurred_at >= filters.since)
    if filters.until is not None:
        conditions.append(row.occurred_at < filters.until)
    return select(row).where(*conditions).order_by(row.occurred_at.desc(), row.event_id.desc())


def _place(index: Select[Any]) -> Any:
    row: Any = index.column_descriptions[0]["entity"]
    return tuple_(row.occurred_at, row.event_id)


async def _positions(session: TenantSession, index: Select[Any], window: int) -> Sequence[Any]:
    """The places in the window, and one more when it does not reach the end."""
    places = index.with_only_columns(*_place(index).clauses)
    return (await session.execute(places.limit(window + 1))).all()


def _on_verdicts(filters: Filters) -> list[Condition]:
    revised = aliased(VerdictRow)
    newest = select(func.max(revised.revision)).where(_same_event(revised, VerdictRow)).scalar_subquery()
    wanted = {VerdictRow.flag: filters.flag, VerdictRow.severity: filters.severity}
    matches = [column == value for column, value in wanted.items() if value is not None]
    return [*matches, VerdictRow.revision == newest]


def _on_events(filters: Filters, row: Any) -> list[Condition]:
    wanted = {row.actor_id: filters.actor, row.action: filters.action, row.target_id: filters.target}
    conditions: list[Condition] = [column == value for column, value in wanted.items() if value is not None]
    if filters.outcome is not None:  # written out, so that the partial index serves it
        conditions.append(row.outcome == bindparam("outcome", filters.outcome, literal_execute=True))
    return conditions


def _lines(filters: Filters, index: Select[Any], span: Span) -> Lines:
    """The events of `span` that `index` leads to, with their requests and the verdicts that count."""
    row: Any = index.column_descriptions[0]["entity"]
    index = index.where(row.occurred_at.between(span.first, span.last))
    return _from_verdicts(filters, index, span) if row is VerdictRow else _from_events(filters, index, span)


def _from_verdicts(filters: Filters, index: Select[Any], span: Span) -> Lines:
    verdict = aliased(VerdictRow, index.subquery())
    within = EventRow.occurred_at.between(span.first, span.last)
    found = select(EventRow).where(_same_event(EventRow, verdict), within).limit(1)
    event = aliased(EventRow, found.lateral())
    return (
        select(event, ContextRow, verdict.flag, verdict.severity)
        .select_from(verdict)
        .join(event, true())
        .outerjoin(ContextRow, _behind(event, span))
        .where(*_on_events(filters, event), *_mentions(filters.q, event))
        .order_by(verdict.occurred_at.desc(), verdict.event_id.desc())
    )


def _from_events(filters: Filters, index: Select[Any], span: Span) -> Lines:
    event = aliased(EventRow, index.subquery())
    verdict = (
        select(VerdictRow.flag, VerdictRow.severity)
        .where(_same_event(VerdictRow, event), VerdictRow.occurred_at.between(span.first, span.last))
        .order_by(VerdictRow.revision.desc())
        .limit(1)
        .lateral("verdict")
    )
    said = {verdict.c.flag: filters.flag, verdict.c.severity: filters.severity}
    conditions: list[Condition] = [column == value for column, value in said.items() if value is not None]
    if filters.severity == "info":
        conditions = [verdict.c.severity.is_(None)]
    return (
        select(event, ContextRow, verdict.c.flag, verdict.c.severity)
        .select_from(event)
        .outerjoin(verdict, true())
        .outerjoin(ContextRow, _behind(event, span))
        .where(*conditions, *_mentions(filters.q, event))
        .order_by(event.occurred_at.desc(), event.event_id.desc())
    )


def _same_event(one: Any, other: Any) -> Condition:
    return and_(*(getattr(one, name) == getattr(other, name) for name in _KEY))


def _behind(event: Any, span: Span) -> Condition:
    """The request behind the event."""
    return and_(
        ContextRow.tenant_id == event.tenant_id,
        ContextRow.event_id == event.event_id,
        ContextRow.occurred_at.between(event.occurred_at - DRIFT, event.occurred_at + DRIFT),
        ContextRow.occurred_at.between(span.first - DRIFT, span.last + DRIFT),
    )


def _mentions(text: str | None, event: Any) -> list[Condition]:
    if text is None:
        return []
    columns = [getattr(event, name) for name in _OF_EVENTS]
    columns += [getattr(ContextRow, name) for name in _OF_CONTEXTS]
    return [or_(*(column.icontains(text, autoescape=True) for column in columns))]


async def _time_of(session: TenantSession, event_id: UUID) -> datetime:
    """When the event happened; its id tells the days to look at.

    Raises:
        InvalidCursor: it stands in the log no longer.
    """
    born = created_at(event_id)
    if born is None:
        raise InvalidCursor
    near = EventRow.occurred_at.between(born - DRIFT, born + DRIFT)
    time = await session.scalar(select(EventRow.occurred_at).where(EventRow.event_id == event_id, near))
    if time is None:
        raise InvalidCursor
    return time
