"""What operators do to a tenant's events and secrets, emitted by the kernel in every service."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from common.contracts.envelope import Event, Life, Topic
from common.ids import EventId, TenantId


class _DeadLetterEvent(Event):
    """`event_id` is the dead event's, `type` what it was, `consumer` who could not handle it."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "event_id"
    RESOURCE: ClassVar[str] = "dead_letter"
    LIFE: ClassVar[Life] = "none"
    FROM_ANY: ClassVar[bool] = True

    tenant_id: TenantId
    event_id: EventId
    consumer: str
    type: str


class SecretsResealed(Event):
    """Secrets at rest of one kind have another encryption key now; `sealed_with` is its id."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "secret"
    ACTION: ClassVar[str | None] = "secret.resealed"
    LIFE: ClassVar[Life] = "none"
    FROM_ANY: ClassVar[bool] = True

    tenant_id: TenantId
    kind: Annotated[str, Field(examples=["dkim_keys.private_key"])]
    count: Annotated[int, Field(ge=1, examples=[3])]
    sealed_with: Annotated[str, Field(examples=["9f2c41d07be65a38"])]


class DeadLetterRetried(_DeadLetterEvent):
    """An operator had a dead event handled again; `error` names what it died of this time, if it did."""

    ACTION: ClassVar[str | None] = "dead_letter.retried"

    error: str | None = None


class DeadLetterDropped(_DeadLetterEvent):
    """An operator decided that a dead event stays without effect."""

    ACTION: ClassVar[str | None] = "dead_letter.dropped"

    reason: str


class _ParkedEvent(Event):
    """`event_id` is that of the event which was too large for the broker, `type` what it is."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "event_id"
    RESOURCE: ClassVar[str] = "parked_event"
    LIFE: ClassVar[Life] = "none"
    FROM_ANY: ClassVar[bool] = True

    tenant_id: TenantId
    event_id: EventId
    type: str


class ParkedEventRetried(_ParkedEvent):
    """An operator had a parked event published after all. `shortened`: with another payload than it had."""

    ACTION: ClassVar[str | None] = "parked_event.retried"

    shortened: bool


class ParkedEventDropped(_ParkedEvent):
    """An operator decided that nobody will hear of a parked event."""

    ACTION: ClassVar[str | None] = "parked_event.dropped"

    reason: str


class _OperationEvent(Event):
    """What an operator has a service do with events, told when it begins; `service`: whose command it was."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "events"
    LIFE: ClassVar[Life] = "none"
    FROM_ANY: ClassVar[bool] = True

    tenant_id: TenantId
    service: Annotated[str, Field(examples=["campaigns"])]


class LogReplayed(_OperationEvent):
    """The service reads the log again, from `since` on (null: from its first record)."""

    ACTION: ClassVar[str | None] = "events.replayed"

    since: datetime | None


class StateTold(_OperationEvent):
    """The service tells its present state again: of this tenant, or of all when it is the platform's."""

    ACTION: ClassVar[str | None] = "events.snapshot_told"


class HistoryPublishedAgain(_OperationEvent):
    """The service's relay publishes the events with these numbers (`ce_sequence`) again."""

    ACTION: ClassVar[str | None] = "events.published_again"

    first: int
    last: int


class GapClosed(Event):
    """An operator decided that numbers of `source` that the audit log lacks (`missing`) will not come."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "gap"
    ACTION: ClassVar[str | None] = "gap.closed"
    LIFE: ClassVar[Life] = "none"
    FROM_ANY: ClassVar[bool] = True

    tenant_id: TenantId
    source: Annotated[str, Field(examples=["campaigns"])]
    missing: Annotated[str, Field(examples=["{[17,19)}"])]
    reason: str
