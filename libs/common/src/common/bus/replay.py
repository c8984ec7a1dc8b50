"""Reads a consumer's topics again, from the first record of the log to its end of now, beside the consumer.

What the consumer has not handled (a type it has only learned since) is handled, under the same inbox; what it
has is projected again, which the versions in the projections make harmless. Positions are not touched.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from common.bus.errors import Invalid, Transient
from common.bus.handling import Handling
from common.bus.kafka import Cluster
from common.bus.records import make_reader
from common.contracts.envelope import PARTITIONS, Envelope, InvalidEvent, Topic
from common.db.errors import is_unavailable
from common.settings import ServiceSettings

_AT_A_TIME = 8
_FETCH_RECORDS = 500

Tell = Callable[[int, int], None]
"""Called with how many records are done, and of how many."""


class Replay:
    """One reading of the log for one consumer. `since`: events that happened before are passed over."""

    def __init__(
        self, handling: Handling, settings: ServiceSettings, *, since: datetime | None, dry_run: bool
    ) -> None:
        self._handling = handling
        self._settings = settings
        self._since = since
        self._dry_run = dry_run
        self._room = asyncio.Semaphore(_AT_A_TIME)
        self.counts: Counter[str] = Counter()

    async def run(self, topics: Sequence[Topic], tell: Tell) -> None:
        """Read the topics; `counts` says afterwards what became of the records.

        Raises:
            Exception: the database or the broker is away; to begin again does no harm.
        """
        cluster = Cluster(self._settings)
        kafka: Any = make_reader(
            bootstrap_servers=self._settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
        )
        await kafka.start()
        try:
            await cluster.current_id()
            await self._read(kafka, [TopicPartition(t, p) for t in topics for p in range(PARTITIONS)], tell)
        finally:
            await kafka.stop()
            await cluster.close()

    async def _read(self, kafka: Any, places: Sequence[TopicPartition], tell: Tell) -> None:
        begins, ends = await kafka.beginning_offsets(places), await kafka.end_offsets(places)
        reached: dict[TopicPartition, int] = {p: begins[p] for p in places if ends[p] > begins[p]}
        left: set[TopicPartition] = set(reached)
        total = sum(ends[p] - reached[p] for p in left)
        kafka.assign(list(reached))
        for place, offset in reached.items():
            kafka.seek(place, offset)
        while left:
            tell(total - sum(ends[p] - reached[p] for p in left), total)
            fetched = await kafka.getmany(timeout_ms=200, max_records=_FETCH_RECORDS)
            await asyncio.gather(*(self._apply_all(records) for records in fetched.values()))
            for place, records in fetched.items():
                reached[place] = min(records[-1].offset + 1, ends[place])
            left = {p for p in left if reached[p] < ends[p]}
        tell(total, total)

    async def _apply_all(self, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        """Records of one partition, in their order."""
        async with self._room:
            for record in records:
                self.counts[await self._apply(record)] += 1

    async def _apply(self, record: ConsumerRecord[bytes, bytes]) -> str:
        try:
            envelope = Envelope.from_kafka(record.headers, record.key, record.value)
        except InvalidEvent:
            return "unreadable"
        early = self._since is not None and envelope.time < self._since
        if early or not self._handling.concerns(envelope):
            return "passed over"
        try:
            return await self._handling.replay(record.topic, envelope, dry_run=self._dry_run)
        except Exception as error:
            if isinstance(error, Transient) or is_unavailable(error):
                raise
            if not (self._dry_run or isinstance(error, Invalid | InvalidEvent)):
                await self._handling.bury(record.topic, envelope, error, 1)
            return "refused"
