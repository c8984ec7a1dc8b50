"""Where a consumer stands in each partition: stored in our database, guarded by an ownership epoch."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg
from aiokafka import TopicPartition

_TAKE_OVER = """
INSERT INTO tenancy.consumer_offsets AS o (consumer, topic, partition, cluster_id, next_offset, epoch)
VALUES ($1, $2, $3, $4, 0, 1)
ON CONFLICT (consumer, topic, partition) DO UPDATE SET
    epoch = o.epoch + 1,
    next_offset = CASE WHEN o.cluster_id = excluded.cluster_id THEN o.next_offset ELSE 0 END,
    cluster_id = excluded.cluster_id,
    updated_at = clock_timestamp()
RETURNING next_offset, epoch
"""
# One statement for all: between the messages of several, an owner that is stopped would not count as silent.
_STORE = """
UPDATE tenancy.consumer_offsets AS o SET next_offset = moved.next_offset, updated_at = clock_timestamp()
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS moved (topic, partition, next_offset, epoch)
WHERE o.consumer = $1 AND (o.topic, o.partition, o.epoch) = (moved.topic, moved.partition, moved.epoch)
"""
_SPARE = 1000
"""Offsets that are done and may stand behind one that is not before they are taken out."""


@dataclass(slots=True)
class Progress:
    """One owned partition: what is done, as a contiguous prefix, and what is still in flight."""

    epoch: int
    next_offset: int
    stored: int
    in_flight: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    """When each was published (milliseconds) and what it takes (bytes), by offset."""
    fetched: int = 0
    end: int = 0
    """The log's end, as far as we have heard."""
    held: int = 0
    """Bytes of what is in flight."""
    _order: deque[int] = field(default_factory=deque[int])
    """Offsets in their order; that at the front is in flight, others may be done."""

    def started(self, offset: int, published: int, size: int) -> None:
        """In the order of offsets, unless the log has lost its end and begins anew."""
        is_next = not self._order or offset > self._order[-1]
        _, before = self.in_flight.pop(offset, (0, 0))
        self.in_flight[offset] = published, size
        self.held += size - before
        if is_next:
            self._order.append(offset)
        else:
            self._order = deque(sorted(self.in_flight))
        self.fetched = offset + 1

    def finished(self, offset: int) -> None:
        _, size = self.in_flight.pop(offset, (0, 0))
        self.held -= size
        while self._order and self._order[0] not in self.in_flight:
            self._order.popleft()
        if len(self._order) > 2 * len(self.in_flight) + _SPARE:
            # Behind one that waits for ever, they would be ever more.
            self._order = deque(sorted(self.in_flight))
        self.next_offset = self._order[0] if self._order else self.fetched

    def waiting_since(self) -> int | None:
        """When the oldest in flight was published, if any is. Other threads may ask."""
        try:
            published, _ = self.in_flight[self._order[0]]
        except (IndexError, KeyError):  # done in this moment, or nothing there
            return None
        return published


class Offsets:
    """Stored positions of one consumer."""

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer

    async def take_over(
        self, connection: asyncpg.Connection, partition: TopicPartition, cluster: str
    ) -> Progress:
        """Become the owner: raises the epoch; a log we have not met yet starts at 0."""
        topic, number = partition.topic, partition.partition
        (row,) = await connection.fetch(_TAKE_OVER, self._consumer, topic, number, cluster)
        offset = int(row["next_offset"])
        return Progress(epoch=int(row["epoch"]), next_offset=offset, stored=offset, fetched=offset)

    async def store(
        self, connection: asyncpg.Connection, progress: Mapping[TopicPartition, Progress]
    ) -> dict[TopicPartition, int]:
        """Store what moved; returns it. An owner of an older epoch moves nothing."""
        moved = {tp: p.next_offset for tp, p in progress.items() if p.next_offset != p.stored}
        if moved:
            rows = [(tp.topic, tp.partition, offset, progress[tp].epoch) for tp, offset in moved.items()]
            await connection.execute(_STORE, self._consumer, *map(list, zip(*rows, strict=True)))
            for tp, offset in moved.items():
                progress[tp].stored = offset
        return moved
