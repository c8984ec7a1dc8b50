"""Events about access itself, emitted by the kernel in every service, and the audit service's findings."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from common.contracts.envelope import Actor, Event, Life, Part, Topic
from common.contracts.texts import Email, RequestId
from common.ids import EventId, TenantId


class Target(Part):
    """A resource as the request named it: kind (`campaign`) and TypeID text."""

    type: Annotated[str, Field(examples=["campaign"])]
    id: Annotated[str, Field(examples=["camp_01jcp0e84xf9e8wske7w6smprh"])]


class HttpRequest(Part):
    """Who asked, and how. Personal data: travels on the restricted topics only."""

    request_id: RequestId
    method: Annotated[str, Field(examples=["GET"])]
    route: Annotated[str, Field(examples=["/api/v1/campaigns/{campaign_id}"])]
    ip: Annotated[str, Field(examples=["203.0.113.7"])]
    user_agent: Annotated[str, Field(examples=["curl/8.14.1"])]


class _AccessEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.access"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "access"
    LIFE: ClassVar[Life] = "none"
    FROM_ANY: ClassVar[bool] = True

    tenant_id: TenantId


class AccessDenied(_AccessEvent):
    """A request was refused. `named_tenant_id` is set when it named a foreign tenant explicitly."""

    ACTION: ClassVar[str | None] = "access.denied"

    actor: Actor
    email: Email | None = None
    request: HttpRequest
    status: Annotated[int, Field(examples=[403])]
    code: Annotated[str, Field(examples=["cross_tenant_forbidden"])]
    target: Target | None = None
    named_tenant_id: Annotated[str | None, Field(examples=["tenant_01jcp0e84xf9e8wske7w6smprh"])] = None


class AccessMissed(_AccessEvent):
    """A look-up by id found nothing in the caller's tenant. Whose id it was, if anybody's, audit knows."""

    ACTION: ClassVar[str | None] = "access.missed"

    actor: Actor
    email: Email | None = None
    request: HttpRequest
    target: Target


class AccessRecord(Part):
    """One authenticated read."""

    at: datetime
    actor: Actor
    email: Email | None = None
    request: HttpRequest
    status: Annotated[int, Field(examples=[200])]
    targets: tuple[Target, ...] = ()
    trace_id: Annotated[str | None, Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])] = None


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


class AuditLogTrimmed(Event):
    """The proof of what retention took from the tenant's log: how many events, and from when to when.

    Or, without any event, how many records that were kept beside them: raw ones, accesses to be judged,
    resources that are no more.
    """

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "audit_log"
    ACTION: ClassVar[str | None] = "audit_log.trimmed"
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    retention_days: int
    events: int
    records: int = 0
    first: datetime
    last: datetime


class ActionRecorded(Event):
    """The HTTP request behind a domain event; written by the same `emit`."""

    FROM_ANY: ClassVar[bool] = True
    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "event_id"
    RESOURCE: ClassVar[str] = "event"
    ACTION: ClassVar[str | None] = None
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    event_id: EventId
    email: Email | None = None
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
