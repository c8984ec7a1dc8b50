"""A record from the broker: read, judged fit for the log, or set aside with the reason."""

import base64
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord
from opentelemetry.trace import Span, SpanKind

from audit.ingest.rows import Rows, build, clean
from audit.ingest.store import QuarantineEntry
from audit.models import DRIFT
from common import clock, telemetry
from common.bus.consumer import Delivery
from common.contracts.envelope import Envelope, Event, InvalidEvent, tenant_key
from common.ids import PLATFORM_TENANT, created_at

log = logging.getLogger(__name__)

FUTURE = timedelta(days=1)
"""How far ahead of our clock an event may be."""
DEAD_LETTERS = ".dlq"
UNKNOWN_TYPE = "unknown_type"
"""Reason of a producer newer than this code; such records are admitted later."""
_SOURCE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_MAX_SEQUENCE = 2**62


@dataclass(slots=True)
class Intake:
    """One delivery. `reason` says why it goes into quarantine; then it has no rows."""

    delivery: Delivery
    envelope: Envelope | None
    rows: Rows
    reason: str | None = None
    span: Span | None = None

    def refuse(self, reason: str) -> None:
        """Send it to quarantine instead of the log; refused again, it is not even believed its envelope."""
        if self.reason is not None:
            self.envelope = None
        self.rows, self.reason = Rows(), reason

    def finish(self) -> None:
        if self.span is not None:
            self.span.end()


def take_in(delivery: Delivery, retention: timedelta) -> Intake:
    """Read one record and begin the span that carries on the event's trace."""
    record = delivery.record
    try:
        envelope = Envelope.from_kafka(record.headers, record.key, record.value)
    except InvalidEvent:
        return Intake(delivery, None, Rows(), "unreadable")
    if not (_SOURCE.fullmatch(envelope.source) and 0 < envelope.sequence < _MAX_SEQUENCE):
        return Intake(delivery, None, Rows(), "unreadable")
    span = _start_span(record.topic, envelope)
    intake = Intake(delivery, _continued(envelope, span), Rows(), None, span)
    if not record.topic.endswith(DEAD_LETTERS):  # a dead letter was here before, on its own topic
        _read(intake, retention)
    return intake


def _read(intake: Intake, retention: timedelta) -> None:
    envelope = intake.envelope
    if envelope is None:
        return
    try:
        event = envelope.event()
    except InvalidEvent:
        intake.refuse("contract_broken")
        return
    if event is None:
        intake.refuse(UNKNOWN_TYPE)
    elif getattr(event, "tenant_id", None) != envelope.tenant_id:
        intake.refuse("tenant_mismatch")
    elif not _in_time(envelope.event_id, envelope.time, retention):
        intake.refuse("skewed_time")
    else:
        _build(intake, envelope, event, retention)


def _build(intake: Intake, envelope: Envelope, event: Event, retention: timedelta) -> None:
    try:
        intake.rows = build(envelope, event)
    except Exception as error:
        log.error("event not understood", extra={"fields": {"event": envelope.type}}, exc_info=error)
        intake.refuse(type(error).__name__)
        return
    if not all(_in_time(*pair, retention) for pair in _moments(intake.rows)):
        intake.refuse("skewed_time")


def days_of(intakes: Iterable[Intake]) -> set[date]:
    """The days (UTC) whose partitions the rows go to."""
    return {
        entry.occurred_at.astimezone(UTC).date()
        for intake in intakes
        for entry in (*intake.rows.entries, *intake.rows.contexts)
    }


def _moments(rows: Rows) -> Iterator[tuple[UUID, datetime]]:
    for entry in (*rows.entries, *rows.contexts):
        yield entry.event_id, entry.occurred_at


def _in_time(event_id: UUID, occurred_at: datetime, retention: timedelta) -> bool:
    born, now = created_at(event_id), clock.now()
    if born is None or occurred_at.tzinfo is None:
        return False
    return abs(born - occurred_at) < DRIFT and now - retention < occurred_at < now + FUTURE


def _start_span(topic: str, envelope: Envelope) -> Span:
    return telemetry.tracer.start_span(
        f"process {topic}",
        context=telemetry.remote_context(envelope.traceparent, envelope.tracestate),
        kind=SpanKind.CONSUMER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.destination.name": topic,
            "app.event.type": envelope.type,
            "app.tenant.id": tenant_key(envelope.tenant_id),
        },
    )


def _continued(envelope: Envelope, span: Span) -> Envelope:
    """The envelope as what follows from it sees it: caused by `span`."""
    found = span.get_span_context()
    if not found.is_valid:
        return envelope
    parent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
    return replace(envelope, traceparent=parent)


def quarantined(intake: Intake) -> QuarantineEntry:
    """The raw record with its reason. The digest is the same wherever the record turns up again."""
    record = intake.delivery.record
    headers = [(clean(name), _armoured(value)) for name, value in record.headers]
    identity = json.dumps([record.topic, headers, _armoured(record.key), _armoured(record.value)])
    return QuarantineEntry(
        tenant_id=intake.envelope.tenant_id if intake.envelope else PLATFORM_TENANT,
        digest=hashlib.sha256(identity.encode()).digest(),
        topic=record.topic,
        partition=record.partition,
        position=record.offset,
        key=record.key,
        value=record.value,
        headers=json.dumps(headers),
        reason=clean(intake.reason) or "",
    )


def restored(row: asyncpg.Record) -> Delivery:
    """The record that a quarantine row keeps, as if it had just been fetched."""
    headers = [
        (name, base64.b64decode(value)) for name, value in json.loads(row["headers"]) if value is not None
    ]
    record = ConsumerRecord[bytes, bytes](
        topic=row["topic"],
        partition=row["partition"],
        offset=row["position"],
        timestamp=0,
        timestamp_type=0,
        key=row["key"],
        value=row["value"],
        checksum=None,
        serialized_key_size=len(row["key"] or b""),
        serialized_value_size=len(row["value"] or b""),
        headers=headers,
    )
    return Delivery(record)


def _armoured(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
