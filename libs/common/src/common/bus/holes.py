"""Records that a fetch skipped.

Our topics are neither compacted nor transactional, so the offsets of a partition follow each other. A gap
means that the broker showed a later batch before an earlier one (Tansu does, when two producers write to one
partition at once), or that retention has taken the beginning away. The first is over in a moment.
"""

import logging
from collections.abc import Sequence

from aiokafka import ConsumerRecord, TopicPartition

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds after which a gap is believed."""


class Holes:
    """Which records of a fetch to take; what lies behind a fresh gap is left to be fetched again."""

    def __init__(self) -> None:
        self._since: dict[TopicPartition, tuple[int, float]] = {}

    def before(
        self,
        partition: TopicPartition,
        expected: int,
        records: Sequence[ConsumerRecord[bytes, bytes]],
        now: float,
    ) -> Sequence[ConsumerRecord[bytes, bytes]]:
        """The records up to the first gap that is not believed yet; `now` in seconds of a steady clock."""
        for place, record in enumerate(records):
            if record.offset > expected and not self._is_old(partition, expected, record.offset, now):
                return records[:place]
            if record.offset == expected:
                self._since.pop(partition, None)
            expected = record.offset + 1
        return records

    def _is_old(self, partition: TopicPartition, expected: int, found: int, now: float) -> bool:
        at, since = self._since.get(partition, (-1, now))
        if at != expected:
            self._since[partition] = (expected, now)
            return False
        if now - since < PATIENCE:
            return False
        del self._since[partition]
        place = {"topic": partition.topic, "partition": partition.partition}
        log.error(
            "records are missing in the log", extra={"fields": {**place, "from": expected, "to": found}}
        )
        return True
