"""A consumer's positions once more, committed to a Kafka group of its name, where lag tools look for them.

Nothing of ours reads them. The group has no members: a commit without joining is taken as long as nobody
joins. So nothing waits for a commit either; one that fails is made up for by the next.
"""

import asyncio
import logging
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0


def group_of(consumer: str) -> str:
    """The group in which the consumer's positions are."""
    return f"penguinmails.{consumer}"


class GroupPositions:
    """Commits in the background, one request at a time, always the newest positions."""

    def __init__(self, kafka: AIOKafkaConsumer) -> None:
        self._kafka = kafka
        self._waiting: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None

    def tell(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit soon; nothing happens when there is nothing new and nothing left over."""
        self._waiting.update(positions)
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._commit())

    async def flush(self) -> None:
        """Give what was told a moment to arrive."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_FLUSH_SECONDS)

    async def close(self) -> None:
        """To be called after the client was stopped, which ends a request that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _commit(self) -> None:
        while self._waiting:
            assigned = self._kafka.assignment()
            told = {place: offset for place, offset in self._waiting.items() if place in assigned}
            self._waiting = {}
            if not told:
                return
            try:
                await self._kafka.commit(told)
            except KafkaError as error:
                self._waiting = told | self._waiting
                log.warning("positions not told", extra={"fields": {"error": type(error).__name__}})
                return
