"""Events leave in the same transaction as the change they tell of.

The rule for callers: lock or write the aggregate's row first, emit after. Then the order of outbox ids
is, per aggregate, the order of commits, and the relay can publish by id without inverting anything.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text

from common import telemetry
from common.context import RequestInfo, TenantContext, UserContext
from common.contracts.audit import ActionRecorded, HttpRequest
from common.contracts.envelope import Actor, Envelope, Event, Meta, storable
from common.db.session import AnySession, TenantSession
from common.db.statements import OUTBOX_ARRAYS
from common.ids import new_id

# Plain text: the app role may insert outbox rows but not read them back, so nothing may be returned.
_INSERT = text("""
INSERT INTO tenancy.outbox (event_id, topic, type, subject, data, traceparent, tracestate)
VALUES (:event_id, :topic, :type, :subject, :data, :traceparent, :tracestate)
""")

_TELL = """
INSERT INTO tenancy.outbox (tenant_id, event_id, topic, type, subject, data, traceparent, tracestate)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


Row = dict[str, Any]


async def emit(session: TenantSession, event: Event, actor: Actor | None = None) -> UUID:
    """Write `event` to the outbox of the session's transaction and return its id.

    The actor (unless given) and the request id come from the session's context. When an HTTP request is
    behind it, its address and user agent go along in a separate `ActionRecorded` on the restricted topic.

    Raises:
        ValueError: the event names another tenant than the session's.
    """
    await session.flush()
    rows = rows_of(session.context, event, actor)
    await session.execute(_INSERT, rows)
    session.note_events()
    return rows[0]["event_id"]


def columns_of(session: AnySession, event: Event) -> dict[str, list[Any]]:
    """What `emit` would write of `event`, as the values that `statements.with_events` adds to a statement.

    Raises:
        ValueError: the event names another tenant than the session's.
    """
    return columns(rows_of(session.context, event))


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Rows of the outbox as the values of compiled statements."""
    return {array: [row[column] for row in rows] for array, column in OUTBOX_ARRAYS.items()}


def rows_of(context: TenantContext, event: Event, actor: Actor | None = None) -> list[Row]:
    """The outbox rows that tell of `event`, its own first, in the trace of the caller.

    Raises:
        ValueError: the event names another tenant than the context.
    """
    if getattr(event, "tenant_id", None) != context.tenant_id:
        raise ValueError("an event belongs to the tenant of its session")
    request = context.request
    meta = Meta(
        actor=actor or context.actor,
        request_id=request.request_id if request else None,
        cause_id=None if isinstance(context, UserContext) else context.cause_id,
    )
    event_id = new_id()
    rows = [_row(event_id, event.model_copy(update={"meta": meta}))]
    if request is not None and type(event).ACTION is not None and type(event).RESOURCE != "access":
        email = context.email if isinstance(context, UserContext) else None
        action = ActionRecorded(
            meta=meta,
            tenant_id=context.tenant_id,
            event_id=event_id,
            email=email,
            request=http_request(request),
        )
        rows.append(_row(new_id(), action))
    return rows


async def tell(connection: asyncpg.Connection, context: TenantContext, event: Event) -> None:
    """`emit` for what is done outside of a tenant's session, by a role that may write for all of them."""
    rows = [(context.tenant_id, *row.values()) for row in rows_of(context, event)]
    await connection.executemany(_TELL, rows)


async def emit_dead_letter(session: TenantSession, topic: str, envelope: Envelope) -> None:
    """Pass the payload of an event that could not be handled on to its dead-letter topic.

    The whole record, byte for byte, stays in `tenancy.dead_letters`.
    """
    row = {
        "event_id": envelope.event_id,
        "topic": f"{topic}.dlq",
        "type": storable(envelope.type),
        "subject": storable(envelope.subject),
        "data": storable(envelope.data.decode(errors="replace")),
        "traceparent": envelope.traceparent,
        "tracestate": envelope.tracestate,
    }
    # Two consumers of one database may bury the same event; one letter is enough.
    await session.execute(text(f"{_INSERT.text} ON CONFLICT DO NOTHING"), [row])
    session.note_events()


def http_request(request: RequestInfo) -> HttpRequest:
    """The audit form of a request's facts."""
    return HttpRequest(
        request_id=request.request_id,
        method=request.method,
        route=request.route,
        ip=request.ip,
        user_agent=request.user_agent,
    )


def _row(event_id: UUID, event: Event) -> Row:
    trace = telemetry.carrier()
    return {
        "event_id": event_id,
        "topic": event.TOPIC,
        "type": event.ce_type(),
        "subject": event.subject,
        "data": event.model_dump_json(),
        "traceparent": trace.get("traceparent"),
        "tracestate": trace.get("tracestate"),
    }
