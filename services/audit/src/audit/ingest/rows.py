"""What becomes of one event: its rows in the log, what it says of ownership, what it touched. Pure."""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from audit.detection.rules import Access, is_write
from audit.ingest.ids import copy_id, record_id
from common.contracts.audit import (
    AccessDenied,
    AccessGap,
    AccessMissed,
    AccessRecord,
    AccessRecorded,
    ActionRecorded,
    HttpRequest,
    Target,
)
from common.contracts.auth import UserRegistered
from common.contracts.envelope import Actor, Envelope, Event, Meta
from common.contracts.tenants import TenantProvisioned
from common.ids import PLATFORM_TENANT, Kind, to_text

MAX_TEXT = 512
EXPLICIT = "cross_tenant_forbidden"
"""Code of the refusal of a request that named a foreign tenant."""
_DENIED = re.compile(r"[._](denied|missed|login_failed)$")
_FAILED = re.compile(r"[._](failed|refused|rejected|gap)$")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NO_TARGET = ("access", "event")


class Entry(NamedTuple):
    """A row of `audit.events`, in the order of its insert."""

    tenant_id: UUID
    event_id: UUID
    occurred_at: datetime
    action: str
    actor_type: str
    actor_id: str | None
    email: str | None
    ip: str | None
    user_agent: str | None
    target_type: str | None
    target_id: str | None
    outcome: str
    severity: str
    method: str | None
    route: str | None
    request_id: str | None
    status: int | None
    trace_id: str | None
    source: str
    changes: str | None


class ContextEntry(NamedTuple):
    """A row of `audit.action_contexts`, in the order of its insert."""

    tenant_id: UUID
    event_id: UUID
    occurred_at: datetime
    email: str | None
    ip: str
    user_agent: str
    method: str
    route: str
    request_id: str


class Life(NamedTuple):
    """`tenant_id` owns `resource` since, or until, `at`."""

    resource: str
    tenant_id: UUID
    at: datetime


@dataclass(slots=True)
class Rows:
    """Everything one event leads to."""

    entries: list[Entry] = field(default_factory=list[Entry])
    contexts: list[ContextEntry] = field(default_factory=list[ContextEntry])
    births: list[Life] = field(default_factory=list[Life])
    deaths: list[Life] = field(default_factory=list[Life])
    accesses: list[Access] = field(default_factory=list[Access])


def build(envelope: Envelope, event: Event) -> Rows:
    """The rows of one event."""
    rows = Rows()
    match event:
        case ActionRecorded():
            rows.contexts.append(_context(envelope, event))
        case AccessRecorded():
            for index, record in enumerate(event.records):
                _add_read(rows, envelope, index, record)
        case AccessDenied() | AccessMissed():
            _add_refusal(rows, envelope, event)
        case _ if type(event).ACTION is not None:
            _add_action(rows, envelope, event)
        case _:
            pass
    _copy_for_the_platform(rows, event.meta)
    return rows


def _copy_for_the_platform(rows: Rows, meta: Meta | None) -> None:
    """What an operator did to a tenant concerns two: it stands in the log of the platform, too."""
    rows.entries += [
        entry._replace(
            tenant_id=PLATFORM_TENANT,
            event_id=copy_id(entry.event_id),
            changes=_with_tenant(entry.changes, entry.tenant_id),
        )
        for entry in rows.entries
        if entry.actor_type == "operator" and entry.tenant_id != PLATFORM_TENANT
    ]
    if meta is not None and meta.actor.type == "operator":
        rows.contexts += [
            context._replace(tenant_id=PLATFORM_TENANT, event_id=copy_id(context.event_id))
            for context in rows.contexts
            if context.tenant_id != PLATFORM_TENANT
        ]


def _with_tenant(changes: str | None, tenant_id: UUID) -> str:
    facts: dict[str, Any] = json.loads(changes) if changes else {}
    return json.dumps({**facts, "tenant_id": to_text(Kind.TENANT, tenant_id)}, ensure_ascii=False)


_PERSONAL = ("actor_id", "email", "ip", "user_agent", "target_id", "request_id", "trace_id", "changes")


def blanked(entry: Entry) -> Entry:
    """That something of a kind happened; not who it was, whence or about what."""
    nothing: dict[str, Any] = dict.fromkeys(_PERSONAL)
    return entry._replace(**nothing)


def reduced(rows: Rows) -> Rows:
    """What is kept of an event that arrives when its tenant is deleted."""
    return Rows(entries=[blanked(entry) for entry in rows.entries])


def _add_action(rows: Rows, envelope: Envelope, event: Event) -> None:
    """A domain event: its own row, the births and deaths in it, and the resource it changed."""
    cls = type(event)
    meta = event.meta
    actor = meta.actor if meta else Actor(type="system", id=envelope.source)
    target = None if cls.RESOURCE in _NO_TARGET else Target(type=cls.RESOURCE, id=envelope.subject)
    outcome = _outcome(cls.ACTION or "")
    entry = _entry(
        envelope,
        actor=actor,
        action=cls.ACTION or "",
        target=target,
        outcome=outcome,
        severity="medium" if isinstance(event, AccessGap) else "info" if outcome == "success" else "low",
        request_id=meta.request_id if meta else None,
        changes=_changes(event),
    )
    rows.entries.append(entry)
    rows.births += [Life(resource, envelope.tenant_id, envelope.time) for resource in _born(event, envelope)]
    if cls.LIFE == "death":
        rows.deaths.append(Life(envelope.subject, envelope.tenant_id, envelope.time))
    if target is not None and outcome == "success":
        rows.accesses.append(_access(envelope, entry, actor, "succeeded", envelope.subject, writes=True))


def _outcome(action: str) -> str:
    if _DENIED.search(action):
        return "denied"
    return "error" if _FAILED.search(action) else "success"


def _born(event: Event, envelope: Envelope) -> list[str]:
    if isinstance(event, TenantProvisioned):
        owner, workspace = event.owner.user_id, event.default_workspace.workspace_id
        return [envelope.subject, to_text(Kind.USER, owner), to_text(Kind.WORKSPACE, workspace)]
    return [envelope.subject] if type(event).LIFE == "birth" or isinstance(event, UserRegistered) else []


def _add_refusal(rows: Rows, envelope: Envelope, event: AccessDenied | AccessMissed) -> None:
    denied = isinstance(event, AccessDenied)
    entry = _entry(
        envelope,
        actor=event.actor,
        action="access.denied" if denied else "access.missed",
        target=event.target,
        outcome="denied",
        severity="low",
        request=event.request,
        email=event.email,
        status=event.status if denied else 404,
        changes=json.dumps({"code": clean(event.code)}) if denied else None,
    )
    rows.entries.append(entry)
    writes = is_write(event.request.method)
    if denied and event.code == EXPLICIT:
        named = event.named_tenant_id or None
        rows.accesses.append(_access(envelope, entry, event.actor, "explicit", named, writes=writes))
    elif event.target is not None and envelope.tenant_id != PLATFORM_TENANT:
        kind = "denied" if denied else "missed"
        rows.accesses.append(_access(envelope, entry, event.actor, kind, event.target.id, writes=writes))


def _add_read(rows: Rows, envelope: Envelope, index: int, record: AccessRecord) -> None:
    succeeded = record.status < 400
    entry = _entry(
        envelope,
        event_id=record_id(envelope.event_id, index, record.at),
        occurred_at=record.at,
        actor=record.actor,
        action="access.recorded",
        target=record.targets[-1] if record.targets else None,
        outcome="success" if succeeded else "error",
        severity="info",
        request=record.request,
        email=record.email,
        status=record.status,
        trace_id=clean(record.trace_id),
    )
    rows.entries.append(entry)
    if succeeded:
        rows.accesses += [
            _access(envelope, entry, record.actor, "succeeded", target.id, writes=False)
            for target in record.targets
        ]


def _access(
    envelope: Envelope, entry: Entry, actor: Actor, kind: Any, resource: str | None, *, writes: bool
) -> Access:
    return Access(
        tenant_id=entry.tenant_id,
        event_id=entry.event_id,
        occurred_at=entry.occurred_at,
        kind=kind,
        resource=clean(resource),
        writes=writes,
        actor=actor,
        request_id=entry.request_id,
        traceparent=envelope.traceparent,
    )


def _entry(
    envelope: Envelope,
    *,
    actor: Actor,
    action: str,
    target: Target | None,
    outcome: str,
    severity: str,
    event_id: UUID | None = None,
    occurred_at: datetime | None = None,
    request: HttpRequest | None = None,
    request_id: str | None = None,
    email: str | None = None,
    status: int | None = None,
    trace_id: str | None = None,
    changes: str | None = None,
) -> Entry:
    return Entry(
        tenant_id=envelope.tenant_id,
        event_id=event_id or envelope.event_id,
        occurred_at=occurred_at or envelope.time,
        action=action,
        actor_type=actor.type,
        actor_id=clean(actor.id),
        email=clean(email),
        ip=clean(request.ip) if request else None,
        user_agent=clean(request.user_agent) if request else None,
        target_type=clean(target.type) if target else None,
        target_id=clean(target.id) if target else None,
        outcome=outcome,
        severity=severity,
        method=clean(request.method) if request else None,
        route=clean(request.route) if request else None,
        request_id=clean(request.request_id if request else request_id),
        status=status,
        trace_id=trace_id or trace_of(envelope.traceparent),
        source=clean(envelope.source) or "",
        changes=changes,
    )


def _context(envelope: Envelope, event: ActionRecorded) -> ContextEntry:
    request = event.request
    return ContextEntry(
        tenant_id=envelope.tenant_id,
        event_id=event.event_id,
        occurred_at=envelope.time,
        email=clean(event.email),
        ip=clean(request.ip) or "",
        user_agent=clean(request.user_agent) or "",
        method=clean(request.method) or "",
        route=clean(request.route) or "",
        request_id=clean(request.request_id) or "",
    )


def _changes(event: Event) -> str | None:
    """What the event says beyond who and where, without personal data."""
    left_out = {"meta", "tenant_id", "version", type(event).SUBJECT}
    facts = _storable(event.model_dump(mode="json", exclude=left_out))
    return json.dumps(facts, ensure_ascii=False) if facts else None


def _storable(value: Any) -> Any:
    """JSON without addresses (and the names beside them) and without what jsonb cannot hold."""
    if isinstance(value, dict):
        facts = cast(dict[str, Any], value)
        personal = {"email", "name"} if "email" in facts else set[str]()
        return {clean(key): _storable(item) for key, item in facts.items() if key not in personal}
    if isinstance(value, list):
        return [_storable(item) for item in cast(list[Any], value)]
    return _UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else value


def clean(text: str | None) -> str | None:
    """`text` as PostgreSQL can store it, at most `MAX_TEXT` characters."""
    if text is None or (text.isprintable() and len(text) <= MAX_TEXT):
        return text
    return _UNSTORABLE.sub("\ufffd", text)[:MAX_TEXT]


def trace_of(traceparent: str | None) -> str | None:
    """The trace id in a W3C `traceparent`, or None when it is malformed."""
    found = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", traceparent or "")
    return found.group(1) if found and found.group(1) != "0" * 32 else None
