"""Sends rows of the outbox, or of its history, as the records that subscribers read.

Records go out as one Kafka batch per partition, which is all or nothing: no later event of an aggregate
overtakes an earlier one that failed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from opentelemetry.trace import Span, SpanKind

from common import metrics, telemetry
from common.contracts.envelope import PARTITIONS, Envelope, tenant_key
from common.metric_names import SENT_MESSAGES

MAX_EVENT_BYTES = 900_000
"""A larger event is parked: brokers take records of about a megabyte."""
_CHOSEN = ("data", "subject", "type", "traceparent", "tracestate")
_PARTITIONS = list(range(PARTITIONS))
_PARTITIONER: Any = DefaultPartitioner()  # untyped

_sent = metrics.counter(SENT_MESSAGES)


async def send(service: str, producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]) -> "Result":
    """Send at most one batch per partition; rows that did not fit are in neither list."""
    lanes: defaultdict[tuple[str, int], Lane] = defaultdict(lambda: Lane(producer.create_batch()))
    oversized: list[asyncpg.Record] = []
    blocked: set[tuple[UUID, str]] = set()
    for row in rows:
        aggregate = (row["tenant_id"], row["subject"])
        if size_of(row) > MAX_EVENT_BYTES and aggregate not in blocked:
            oversized.append(row)
            blocked.add(aggregate)
        if aggregate in blocked:
            continue
        lane = lanes[row["topic"], _partition(row["tenant_id"])]
        lane.add(service, row)
    filled = {place: lane for place, lane in lanes.items() if lane.rows}
    outcomes = await asyncio.gather(
        *(lane.send(producer, *place) for place, lane in filled.items()), return_exceptions=True
    )
    result = Result([], oversized, None)
    for lane, outcome in zip(filled.values(), outcomes, strict=True):
        lane.finish_spans()
        if isinstance(outcome, BaseException):
            result.failure = outcome
        else:
            result.acknowledged += lane.rows
            _sent.add(len(lane.rows), _labels(lane.rows[0]["topic"]))
    return result


@dataclass(slots=True)
class Result:
    """What became of the rows; those that did not fit are in neither list."""

    acknowledged: list[asyncpg.Record]
    oversized: list[asyncpg.Record]
    failure: BaseException | None


@dataclass(slots=True)
class Lane:
    """One partition's batch of one round."""

    batch: BatchBuilder
    rows: list[asyncpg.Record] = field(default_factory=list[asyncpg.Record])
    spans: list[Span] = field(default_factory=list[Span])
    full: bool = False

    def add(self, service: str, row: asyncpg.Record) -> None:
        """Append the row unless the batch is full; once full it stays so, to keep the order."""
        if self.full:
            return
        span = _span(row)
        envelope = _envelope(service, row, span)
        taken = self.batch.append(
            key=envelope.key, value=envelope.data, timestamp=_first_time(row), headers=envelope.headers()
        )
        self.full = taken is None
        if taken is not None:
            self.rows.append(row)
            if span is not None:
                self.spans.append(span)

    async def send(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        self.batch.close()
        if partition not in await producer.partitions_for(topic):
            raise KafkaError(f"{topic} lacks partition {partition}")
        await (await producer.send_batch(self.batch, topic, partition=partition))

    def finish_spans(self) -> None:
        for span in self.spans:
            span.end()


def _first_time(row: asyncpg.Record) -> int | None:
    """When the event was published first, in milliseconds of the epoch; None: now. The broker counts
    retention from it, so what is published again stays no longer than erasure and inbox count on."""
    published = row.get("published_at")
    return None if published is None else int(published.timestamp() * 1000)


def size_of(row: asyncpg.Record | Mapping[str, Any]) -> int:
    """Bytes of what a producer chose."""
    return sum(len((row[column] or "").encode()) for column in _CHOSEN)


@lru_cache(maxsize=64)
def _labels(topic: str) -> metrics.Labels:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.destination.name": topic,
    }


@lru_cache(maxsize=4096)
def _partition(tenant_id: UUID) -> int:
    """As every Kafka client would choose it by the key."""
    return _PARTITIONER(tenant_key(tenant_id).encode(), _PARTITIONS, _PARTITIONS)


def _span(row: asyncpg.Record) -> Span | None:
    """The publication in its trace; None when that trace is not recorded, which then goes on unchanged."""
    parent = telemetry.remote_context(row["traceparent"], row["tracestate"])
    if telemetry.is_left_out(parent):
        return None
    return telemetry.tracer.start_span(
        f"publish {row['topic']}",
        context=parent,
        kind=SpanKind.PRODUCER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.name": "publish",
            "messaging.destination.name": row["topic"],
            "app.event.type": row["type"],
            "app.tenant.id": tenant_key(row["tenant_id"]),
        },
    )


def _envelope(service: str, row: asyncpg.Record, span: Span | None) -> Envelope:
    trace = telemetry.carrier(span) if span is not None else {}
    return Envelope(
        event_id=row["event_id"],
        source=service,
        type=row["type"],
        time=row["occurred_at"],
        subject=row["subject"],
        tenant_id=row["tenant_id"],
        sequence=row["sequence"],
        data=row["data"].encode(),
        traceparent=trace.get("traceparent", row["traceparent"]),
        tracestate=trace.get("tracestate", row["tracestate"]),
    )
