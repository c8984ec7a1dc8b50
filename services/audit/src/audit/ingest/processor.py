"""Takes what the consumer fetched into the log: in order, each batch in one transaction."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, timedelta

import asyncpg
from aiokafka import TopicPartition

from audit.ingest import store
from audit.ingest.batch import Recorder
from audit.ingest.intake import Intake, days_of, quarantined, take_in
from common import clock, metrics, pulse
from common.bus.consumer import Delivery
from common.db.errors import is_unavailable
from common.metric_names import AUDIT_DELAY, AUDIT_QUARANTINED, AUDIT_RECORDED

log = logging.getLogger(__name__)

ROWS = 4000
"""Rows of one transaction, about."""
_RETRY_SECONDS = (0.05, 5.0)

_recorded = metrics.counter(AUDIT_RECORDED, {})
_quarantined = metrics.counter(AUDIT_QUARANTINED, {})
_delay = metrics.histogram(AUDIT_DELAY)

Done = Callable[[Delivery], None]


class Ingestion:
    """Processor of the audit consumer.

    A record that cannot become part of the log goes into quarantine and blocks nothing. While the database
    is away nothing is skipped and nothing overtakes.
    """

    def __init__(
        self, database_url: str, recorder: Recorder, retention: timedelta, wake_relay: Callable[[], None]
    ) -> None:
        self._database_url = database_url
        self._recorder = recorder
        self._retention = retention
        self._wake_relay = wake_relay
        self._connection: asyncpg.Connection | None = None
        self._days: set[date] = set()

    async def take(self, deliveries: Sequence[Delivery], done: Done) -> None:
        for batch in _slices(take_in(delivery, self._retention) for delivery in deliveries):
            await self._settle(batch)
            for intake in batch:
                intake.finish()
                done(intake.delivery)

    async def let_go(self, partitions: Collection[TopicPartition]) -> None:
        """`take` returns when everything is done, so there is never anything left."""

    async def abandon(self) -> None:
        """What a cancelled `take` had begun was rolled back."""
        self._hang_up()

    async def _settle(self, batch: Sequence[Intake]) -> None:
        """Commit the batch, whatever it takes; what makes it fail is found by halving."""
        delay = _RETRY_SECONDS[0]
        while True:
            try:
                await self._commit(batch)
                return
            except Exception as error:
                pulse.beat()
                self._days.clear()
                fields = {"events": len(batch), "error": type(error).__name__, "retry_in": delay}
                log.warning("batch not recorded", extra={"fields": fields}, exc_info=error)
                if not _is_transient(error):
                    if len(batch) > 1:
                        await self._settle(batch[: len(batch) // 2])
                        await self._settle(batch[len(batch) // 2 :])
                        return
                    batch[0].refuse(type(error).__name__)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_SECONDS[1])

    async def _commit(self, batch: Sequence[Intake]) -> None:
        connection = await self._connect()
        try:
            await self._make_days(connection, batch)
            async with connection.transaction():
                refused = [quarantined(intake) for intake in batch if intake.reason is not None]
                await store.insert_quarantine(connection, refused)
                work = [(intake.envelope, intake.rows) for intake in batch if intake.envelope is not None]
                findings = await self._recorder.record(connection, work)
        except BaseException:
            self._hang_up()
            raise
        findings.tell(self._wake_relay)
        _measure(batch)
        for intake in batch:
            if intake.reason is not None:
                fields = {"reason": intake.reason, "topic": intake.delivery.record.topic}
                log.error("record quarantined", extra={"fields": fields})

    async def _make_days(self, connection: asyncpg.Connection, batch: Sequence[Intake]) -> None:
        if missing := days_of(batch) - self._days:
            await store.ensure_days(connection, missing)
            self._days |= missing

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._database_url, timeout=5)
        return self._connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _measure(batch: Sequence[Intake]) -> None:
    """Count what is in the log now, and how late its oldest is there."""
    recorded = [intake.envelope for intake in batch if intake.envelope is not None and intake.reason is None]
    _recorded.add(len(recorded))
    _quarantined.add(sum(intake.reason is not None for intake in batch))
    if recorded:
        oldest = min(envelope.time for envelope in recorded)
        _delay.record(max(0.0, (clock.now() - oldest).total_seconds()))


def _slices(intakes: Iterator[Intake]) -> Iterator[list[Intake]]:
    batch: list[Intake] = []
    size = 0
    for intake in intakes:
        batch.append(intake)
        size += 1 + len(intake.rows.entries)
        if size >= ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _is_transient(error: Exception) -> bool:
    """Whether the same batch may pass later: the database is away, or two writers met."""
    return is_unavailable(error) or isinstance(error, asyncpg.TransactionRollbackError)
