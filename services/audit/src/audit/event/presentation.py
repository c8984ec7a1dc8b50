"""Lines of the log as the API shows them."""

from typing import cast

from audit.event.queries import Line
from audit.event.schemas import Actor, AuditEvent, Flag, HttpRequest, Outcome, Severity, Target


def show(line: Line) -> AuditEvent:
    """The event with what is known of it besides its own row."""
    event, verdict = line.event, line.verdict
    said = [verdict.flag] if verdict and verdict.flag != "none" else []
    return AuditEvent(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        recorded_at=event.recorded_at,
        tenant_id=event.tenant_id,
        action=event.action,
        actor=_actor(line),
        target=Target(type=event.target_type, id=event.target_id) if event.target_id else None,
        outcome=cast(Outcome, event.outcome),
        severity=cast(Severity, verdict.severity if verdict else event.severity),
        flags=cast(list[Flag], said),
        request=_request(line),
        trace_id=event.trace_id,
        source=event.source,
        changes=event.changes,
    )


def _actor(line: Line) -> Actor:
    source = line.context or line.event
    return Actor(
        type=line.event.actor_type,
        id=line.event.actor_id,
        email=source.email,
        ip=source.ip,
        user_agent=source.user_agent,
    )


def _request(line: Line) -> HttpRequest | None:
    source = line.context or line.event
    if source.request_id is None and source.method is None:
        return None
    return HttpRequest(
        method=source.method,
        route=source.route,
        request_id=source.request_id,
        status=line.event.status,
    )
