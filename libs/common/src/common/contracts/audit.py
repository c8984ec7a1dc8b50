"""Events about access itself, emitted by the kernel in every service, and the audit service's findings."""

from datetime import datetime
from typing import ClassVar, Literal

from common.contracts.envelope import Actor, Event, Life, Part, Topic
from common.ids import EventId, TenantId


class Target(Part):
    """A resource as the request named it: kind (`campaign`) and TypeID text."""

    type: str
    id: str


class HttpRequest(Part):
    """Who asked, and how. Personal data: travels on the restricted topics only."""

    request_id: str
    method: str
    route: str
    ip: str
    user_agent: str


class _AccessEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.access"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "access"
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId


class AccessDenied(_AccessEvent):
    """A request was refused. `named_tenant_id` is set when it named a foreign tenant explicitly."""

    ACTION: ClassVar[str | None] = "access.denied"

    actor: Actor
    email: str | None = None
    request: HttpRequest
    status: int
    code: str
    target: Target | None = None
    named_tenant_id: str | None = None


class AccessMissed(_AccessEvent):
    """A look-up by id found nothing in the caller's tenant. Whose id it was, if anybody's, audit knows."""

    ACTION: ClassVar[str | None] = "access.missed"

    actor: Actor
    email: str | None = None
    request: HttpRequest
    target: Target


class AccessRecord(Part):
    """One authenticated read."""

    at: datetime
    actor: Actor
    email: str | None = None
    request: HttpRequest
    status: int
    targets: tuple[Target, ...] = ()
    trace_id: str | None = None


class AccessRecorded(_AccessEvent):
    """Authenticated reads of one tenant, batched."""

    ACTION: ClassVar[str | None] = "access.recorded"

    records: tuple[AccessRecord, ...]


class AccessGap(_AccessEvent):
    """Reads that happened but whose records were lost, and how many."""

    ACTION: ClassVar[str | None] = "access.gap"

    count: int
    since: datetime
    until: datetime


class ActionRecorded(Event):
    """The HTTP request behind a domain event; written by the same `emit`."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "event_id"
    RESOURCE: ClassVar[str] = "event"
    ACTION: ClassVar[str | None] = None
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    event_id: EventId
    email: str | None = None
    request: HttpRequest


class CrossTenantAttemptFlagged(Event):
    """The audit service decided that a request tried to cross a tenant border."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "event_id"
    RESOURCE: ClassVar[str] = "event"
    ACTION: ClassVar[str | None] = None
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    event_id: EventId
    kind: Literal["explicit", "implicit"]
    severity: Literal["medium", "high"]
