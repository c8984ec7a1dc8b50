"""Reads of the log.

A page is found in steps: where it lies in the index that is followed, which of that it takes, and then what
belongs to it. Each step names its days, so that the planner looks at few partitions, and joins nothing,
because below the tenant wall a join pays for the wall at every row. While searching for what no index finds,
a page looks at no more than a window, so that no combination of filters can make it slow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Uuid,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import aliased

from audit.event.schemas import Filters
from audit.models import DRIFT, ContextRow, EventRow, VerdictRow
from common.db.paging import Cursors
from common.db.session import TenantSession
from common.errors import InvalidCursor, ResourceNotFound
from common.ids import Kind, created_at, to_text

LISTING = "audit.events"
WINDOW = 2_000
"""Entries that one page looks at while it searches."""
_CHUNK = 500
Condition = ColumnElement[bool]

_NO_DRIFT = timedelta()

_OF_EVENTS = ("action", "actor_id", "target_id", "route", "request_id", "trace_id", "email", "ip")
_OF_CONTEXTS = ("route", "email", "ip")


@dataclass(frozen=True, slots=True)
class Line:
    """An event, the request behind it and the verdict that counts."""

    event: EventRow
    context: ContextRow | None
    verdict: VerdictRow | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands in the order of the log."""

    occurred_at: datetime
    event_id: UUID

    def __iter__(self) -> Any:
        return iter((self.occurred_at, self.event_id))


async def list_events(
    session: TenantSession, cursors: Cursors, filters: Filters, limit: int, cursor: str | None
) -> tuple[list[Line], str | None]:
    """One page, newest first, and the next cursor.

    When a search leaves its window, the page is short (or empty) though it is not the last.
    """
    index = _followed(filters)
    if cursor is not None:
        after = await _place_of(session, cursors.decode(session.tenant_id, LISTING, cursor))
        index = index.where(_at(index) < tuple_(*after))
    end: Place | None = None
    if _must_search(filters):
        window = await _places(session, index, WINDOW + 1)
        end = window[WINDOW - 1] if len(window) > WINDOW else None
        found = await _search(session, filters, window[:WINDOW], limit + 1)
    else:
        found = await _places(session, index, limit + 1)
    if len(found) > limit:
        found = found[:limit]
        end = found[-1]
    lines = await _read(session, found)
    return lines, cursors.encode(session.tenant_id, LISTING, end.event_id) if end else None


async def get_event(session: TenantSession, event_id: UUID) -> Line:
    """One event.

    Raises:
        ResourceNotFound: not in this tenant's log.
    """
    time = await _time_of(session, event_id)
    if time is None:
        raise ResourceNotFound("audit_event", event_id, to_text(Kind.AUDIT_EVENT, event_id))
    return (await _read(session, [Place(time, event_id)]))[0]


def _follows_verdicts(filters: Filters) -> bool:
    """Whether verdicts lead to the events: there are few, unless one actor's or target's are fewer."""
    return _asks_for_verdicts(filters) and filters.actor is None and filters.target is None


def _asks_for_verdicts(filters: Filters) -> bool:
    """Events without a verdict are `info` and have no flag."""
    return filters.flag is not None or filters.severity not in (None, "info")


def _must_search(filters: Filters) -> bool:
    """Whether the index followed leaves some filter unanswered."""
    if _follows_verdicts(filters):
        return any((filters.q, filters.action, filters.outcome))
    return any((filters.q, filters.flag, filters.severity))


def _followed(filters: Filters) -> Select[Any]:
    """The index to follow, newest first."""
    row = VerdictRow if _follows_verdicts(filters) else EventRow
    conditions = _on_verdicts(filters) if row is VerdictRow else _on_events(filters)
    if filters.since is not None:
        conditions.append(row.occurred_at >= filters.since)
    if filters.until is not None:
        conditions.append(row.occurred_at < filters.until)
    return _newest_first(row).where(*conditions)


def _newest_first(row: Any) -> Select[Any]:
    return select(row).order_by(row.occurred_at.desc(), row.event_id.desc())


def _on_verdicts(filters: Filters) -> list[Condition]:
    revised = aliased(VerdictRow)
    key = ("tenant_id", "event_id", "occurred_at")
    same = (getattr(revised, name) == getattr(VerdictRow, name) for name in key)
    newest = select(func.max(revised.revision)).where(*same).scalar_subquery()
    wanted = {VerdictRow.flag: filters.flag, VerdictRow.severity: filters.severity}
    said = [column == value for column, value in wanted.items() if value is not None]
    return [*said, VerdictRow.revision == newest]


def _on_events(filters: Filters) -> list[Condition]:
    wanted = {
        EventRow.actor_id: filters.actor,
        EventRow.action: filters.action,
        EventRow.target_id: filters.target,
    }
    conditions: list[Condition] = [column == value for column, value in wanted.items() if value is not None]
    if filters.outcome is not None:  # written out, so that the partial index serves it
        conditions.append(EventRow.outcome == bindparam("outcome", filters.outcome, literal_execute=True))
    return conditions


async def _search(session: TenantSession, filters: Filters, window: list[Place], count: int) -> list[Place]:
    """The first `count` places of the window (or all there are) that answer every filter."""
    found: list[Place] = []
    for start in range(0, len(window), _CHUNK):
        found += await _sift(session, filters, window[start : start + _CHUNK])
        if len(found) >= count:
            break
    return found


async def _sift(session: TenantSession, filters: Filters, window: Sequence[Place]) -> list[Place]:
    """What of the window answers the filters that the index does not."""
    kept = {place.event_id: place for place in window}
    if kept and _follows_verdicts(filters):
        wanted = select(EventRow.event_id).where(*_in(EventRow, kept), *_on_events(filters))
        kept = {key: kept[key] for key in await session.scalars(wanted)}
    elif kept and (filters.flag or filters.severity):
        verdict_of = await _verdicts(session, kept)
        kept = {key: place for key, place in kept.items() if _says(filters, verdict_of.get(key))}
    if kept and filters.q is not None:
        mentioned = await _mentioning(session, filters.q, kept)
        kept = {key: place for key, place in kept.items() if key in mentioned}
    return [place for place in window if place.event_id in kept]


def _says(filters: Filters, verdict: VerdictRow | None) -> bool:
    flag, severity = (verdict.flag, verdict.severity) if verdict else (None, "info")
    return filters.flag in (None, flag) and filters.severity in (None, severity)


async def _mentioning(session: TenantSession, text: str, places: Mapping[UUID, Place]) -> set[UUID]:
    """Which events, or requests behind them, have `text` somewhere."""
    found: set[UUID] = set()
    for row, names, drift in ((EventRow, _OF_EVENTS, _NO_DRIFT), (ContextRow, _OF_CONTEXTS, DRIFT)):
        matches = or_(*(getattr(row, name).icontains(text, autoescape=True) for name in names))
        found.update(await session.scalars(select(row.event_id).where(*_in(row, places, drift), matches)))
    return found


async def _verdicts(session: TenantSession, places: Mapping[UUID, Place]) -> dict[UUID, VerdictRow]:
    """The verdict that counts of each event that has one."""
    verdicts = select(VerdictRow).where(*_in(VerdictRow, places)).order_by(VerdictRow.revision)
    return {row.event_id: row for row in await session.scalars(verdicts)}


def _in(row: Any, places: Mapping[UUID, Place], drift: timedelta = _NO_DRIFT) -> tuple[Condition, Condition]:
    """Rows of the events at `places`; their days are for the planner."""
    times = [place.occurred_at for place in places.values()]
    days = row.occurred_at.between(min(times) - drift, max(times) + drift)
    return days, row.event_id == any_(literal(list(places), ARRAY(Uuid())))


def _at(index: Select[Any]) -> Any:
    row: Any = index.column_descriptions[0]["entity"]
    return tuple_(row.occurred_at, row.event_id)


async def _places(session: TenantSession, index: Select[Any], count: int) -> list[Place]:
    rows = await session.execute(index.with_only_columns(*_at(index).clauses).limit(count))
    return [Place(*row) for row in rows]


async def _read(session: TenantSession, places: Sequence[Place]) -> list[Line]:
    """What stands at `places`, in their order."""
    if not places:
        return []
    at = {place.event_id: place for place in places}
    events = await session.scalars(select(EventRow).where(*_in(EventRow, at)))
    contexts = await session.scalars(select(ContextRow).where(*_in(ContextRow, at, DRIFT)))
    event_of = {row.event_id: row for row in events}
    context_of = {row.event_id: row for row in contexts}
    verdict_of = await _verdicts(session, at)
    return [Line(event_of[key], context_of.get(key), verdict_of.get(key)) for key in at]


async def _place_of(session: TenantSession, event_id: UUID) -> Place:
    """Where the event of a cursor stands.

    Raises:
        InvalidCursor: nowhere any more.
    """
    time = await _time_of(session, event_id)
    if time is None:
        raise InvalidCursor
    return Place(time, event_id)


async def _time_of(session: TenantSession, event_id: UUID) -> datetime | None:
    """When the event happened, or None; its id tells the days to look at."""
    born = created_at(event_id)
    if born is None:
        return None
    near = EventRow.occurred_at.between(born - DRIFT, born + DRIFT)
    return await session.scalar(select(EventRow.occurred_at).where(EventRow.event_id == event_id, near))
