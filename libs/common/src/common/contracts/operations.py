"""What operators do to a tenant's events and secrets, emitted by the kernel in every service."""

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
