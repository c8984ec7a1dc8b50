"""How far behind one service is: its outbox, consumers and dead letters. Only reads, as the relay role."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from common import clock
from common.bus.kafka import Cluster
from common.settings import ServiceSettings

_PATIENCE_SECONDS = 5.0
_TOPIC_MS = 10
"""The client sleeps so long for each topic it has to ask Apache Kafka for."""
_POSITIONS = "SELECT consumer, topic, partition, cluster_id, next_offset FROM tenancy.consumer_offsets"
_OUTBOX = """
SELECT
    (SELECT count(*) FROM (SELECT FROM tenancy.outbox WHERE parked_at IS NULL LIMIT $1) AS w) AS rows,
    (SELECT count(*) FROM tenancy.outbox WHERE parked_at IS NOT NULL) AS parked,
    (SELECT greatest(extract(epoch FROM clock_timestamp() - occurred_at), 0)::float
     FROM tenancy.outbox WHERE parked_at IS NULL ORDER BY id LIMIT 1) AS oldest_seconds
"""
_LETTERS = """
SELECT consumer, count(*) FILTER (WHERE NOT waiting) AS dead, count(*) FILTER (WHERE waiting) AS waiting
FROM tenancy.dead_letters GROUP BY consumer
"""
_STOPPED = "SELECT consumer, stopped_at FROM tenancy.stopped_consumers"


@dataclass(slots=True)
class ConsumerLag:
    """`records` not handled yet, of all types; `seconds` since the oldest of them was published."""

    consumer: str
    records: int = 0
    seconds: float = 0.0
    dead_letters: int = 0
    waiting: int = 0
    stopped_at: str | None = None


async def read_outbox(connection: asyncpg.Connection, most: int | None = None) -> asyncpg.Record:
    """`rows` to be published (counted up to `most`), `parked`, and `oldest_seconds` of the first, or None."""
    (row,) = await connection.fetch(_OUTBOX, most)
    return row


async def read_letters(connection: asyncpg.Connection) -> Sequence[asyncpg.Record]:
    """How many dead letters each `consumer` has: `dead`, and `waiting` behind them."""
    return await connection.fetch(_LETTERS)


async def measure(service: str, settings: ServiceSettings) -> dict[str, Any]:
    """The service's lag, fit for JSON."""
    connection = await asyncpg.connect(settings.relay_database_url, timeout=5)
    cluster = Cluster(settings)
    try:
        outbox = await read_outbox(connection)
        consumers = await _consumers(connection, settings, await cluster.current_id())
    finally:
        await cluster.close()
        await connection.close()
    return {
        "service": service,
        "outbox": dict(outbox),
        "consumers": [asdict(consumers[name]) for name in sorted(consumers)],
    }


async def _consumers(
    connection: asyncpg.Connection, settings: ServiceSettings, cluster: str
) -> dict[str, ConsumerLag]:
    positions: defaultdict[str, dict[TopicPartition, int]] = defaultdict(dict)
    for row in await connection.fetch(_POSITIONS):
        known = row["cluster_id"] == cluster  # of another log we have handled nothing yet
        place = TopicPartition(row["topic"], row["partition"])
        positions[row["consumer"]][place] = row["next_offset"] if known else 0
    found = {name: ConsumerLag(name) for name in positions}
    for row in await read_letters(connection):
        lag = found.setdefault(row["consumer"], ConsumerLag(row["consumer"]))
        lag.dead_letters, lag.waiting = row["dead"], row["waiting"]
    for row in await connection.fetch(_STOPPED):
        found.setdefault(row["consumer"], ConsumerLag(row["consumer"])).stopped_at = clock.rfc3339(
            row["stopped_at"]
        )
    kafka: Any = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        auto_offset_reset="earliest",
        retry_backoff_ms=_TOPIC_MS,
    )
    await kafka.start()
    try:
        for name, places in positions.items():
            await _compare(kafka, places, found[name])
    finally:
        await kafka.stop()
    return found


async def _compare(kafka: Any, places: Mapping[TopicPartition, int], lag: ConsumerLag) -> None:
    """Fill in how many records lie behind the positions, and how old the oldest is."""
    begins, ends = await kafka.beginning_offsets(list(places)), await kafka.end_offsets(list(places))
    starts = {place: max(offset, begins[place]) for place, offset in places.items()}
    behind = {place: start for place, start in starts.items() if ends[place] > start}
    lag.records = sum(ends[place] - start for place, start in behind.items())
    oldest = await _oldest(kafka, behind)
    if oldest is not None:
        lag.seconds = max(0.0, (clock.now() - oldest).total_seconds())


async def _oldest(kafka: Any, starts: Mapping[TopicPartition, int]) -> datetime | None:
    """When the first of the records at `starts` was published."""
    if not starts:
        return None
    kafka.assign(list(starts))
    for place, start in starts.items():
        kafka.seek(place, start)
    seen: dict[TopicPartition, int] = {}
    deadline = clock.now().timestamp() + _PATIENCE_SECONDS
    while len(seen) < len(starts) and clock.now().timestamp() < deadline:
        for place, records in (await kafka.getmany(timeout_ms=200, max_records=100)).items():
            seen.setdefault(place, records[0].timestamp)
            kafka.pause(place)
    return datetime.fromtimestamp(min(seen.values()) / 1000, UTC) if seen else None
