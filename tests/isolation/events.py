"""Events of every type, and their records as they arrive from the broker: honest ones and forged ones."""

from typing import Any
from uuid import UUID

from aiokafka import ConsumerRecord

from common import clock
from common.bus.consumer import Delivery
from common.contracts.envelope import Envelope, Event
from common.ids import new_id, to_text
from tests.isolation.routes import example, resolve

Headers = list[tuple[str, bytes]]


def make_event(cls: type[Event], tenant_id: UUID) -> Event:
    """An event of the type, of the tenant, with made-up values."""
    document: dict[str, Any] = cls.model_json_schema()
    schema = resolve(document, document)
    values = example(schema, lambda kind: to_text(kind, new_id()))
    facts: dict[str, Any] = {"tenant_id": tenant_id}
    if "service" in cls.model_fields:
        facts["service"] = "campaigns"
    return cls.model_validate(values).model_copy(update=facts)


def envelope_of(event: Event, tenant_id: UUID, source: str | None = None, **changes: Any) -> Envelope:
    """The event in the tenant's envelope; from its own service unless another is named."""
    source = source or getattr(event, "service", event.home() or "campaigns")
    facts: dict[str, Any] = {
        "event_id": new_id(),
        "source": source,
        "type": event.ce_type(),
        "time": clock.now(),
        "subject": event.subject,
        "tenant_id": tenant_id,
        "sequence": 1,
        "data": event.model_dump_json().encode(),
        **changes,
    }
    return Envelope(**facts)


def delivery(topic: str, headers: Headers, key: bytes | None, value: bytes | None, offset: int) -> Delivery:
    """A record as the consumer hands it on."""
    return Delivery(ConsumerRecord(topic, 0, offset, 0, 0, key, value, None, 0, 0, headers))


def honest(event: Event, envelope: Envelope, offset: int = 1) -> Delivery:
    return delivery(event.TOPIC, envelope.headers(), envelope.key, envelope.data, offset)


def forged(event: Event, mine: Envelope, theirs: Envelope) -> dict[str, Delivery]:
    """Records of the event that name two tenants, or none. `mine` and `theirs`: it in either's envelope."""
    headers = dict(mine.headers())

    def without(*names: str) -> Headers:
        return [(name, value) for name, value in headers.items() if name not in names]

    def made(head: Headers, key: bytes | None, place: int) -> Delivery:
        return delivery(event.TOPIC, head, key, mine.data, place + mine.event_id.int % 10**9)

    tenant = dict(theirs.headers())["ce_tenantid"]
    return {
        "their key": made(mine.headers(), theirs.key, 1),
        "their header": made([*without("ce_tenantid"), ("ce_tenantid", tenant)], mine.key, 2),
        "no header": made(without("ce_tenantid"), mine.key, 3),
        "no key": made(mine.headers(), None, 4),
        "no tenant at all": made(without("ce_tenantid"), None, 5),
        "no identifier": made([*without("ce_tenantid"), ("ce_tenantid", b"all")], b"all", 6),
        "bare id": made(
            [*without("ce_tenantid"), ("ce_tenantid", str(mine.tenant_id).encode())],
            str(mine.tenant_id).encode(),
            7,
        ),
    }
