"""Owned partitions whose records are not fetched: whatever keeps the driver from it, a new one is made.

The driver says where a partition ends only when it has fetched from it. So the broker is asked, in the
background: behind a fetch that it holds, its answer comes late, and nothing waits for it.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from common.bus.offsets import Progress

PATIENCE = 5.0
"""Seconds for which a partition may have records and none of them be fetched."""
ASK_SECONDS = 2.0

Ends = dict[TopicPartition, int]


class Stalls:
    """What the broker said of the ends of one term's partitions, against what was fetched of them."""

    def __init__(self, kafka: Any) -> None:
        self._kafka = kafka
        self._asking: asyncio.Task[Ends] | None = None
        self._next = 0.0
        self._since: dict[TopicPartition, tuple[int, float]] = {}

    def look(self, progress: Mapping[TopicPartition, Progress], read_ahead: int, now: float) -> None:
        """Compare, and ask anew; `now` in seconds of a steady clock. A partition with `read_ahead` records in
        flight waits for their handlers.

        Raises:
            KafkaError: a partition has had records for longer than `PATIENCE`, and none was fetched.
        """
        if self._asking is not None and self._asking.done():
            ends = _answer_of(self._asking)
            self._asking = None
            for partition, end in ends.items():
                self._compare(partition, end, progress.get(partition), read_ahead, now)
        if self._asking is None and progress and now >= self._next:
            self._next = now + ASK_SECONDS
            self._asking = asyncio.create_task(self._kafka.end_offsets(list(progress)))

    def _compare(
        self, partition: TopicPartition, end: int, one: Progress | None, read_ahead: int, now: float
    ) -> None:
        if one is not None:
            one.end = max(one.end, end)
        if one is None or end <= one.fetched or len(one.in_flight) >= read_ahead:
            self._since.pop(partition, None)
            return
        fetched, since = self._since.get(partition, (-1, now))
        if fetched != one.fetched:
            self._since[partition] = (one.fetched, now)
        elif now - since > PATIENCE:
            raise KafkaError(f"{partition.topic}/{partition.partition} is not fetched from {fetched} on")

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)


def _answer_of(asked: asyncio.Task[Ends]) -> Ends:
    """Nothing while the broker does not say; that it is away others notice."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError, asyncio.CancelledError):
        return asked.result()
    return {}
