"""Publishes the outbox: lowest ids first, deleted after the broker's acknowledgement.

Ids are handed out before commit, so a position in them proves nothing; reading the lowest ids present and
deleting them once acknowledged loses nothing. One relay per database is active: it holds a session
advisory lock on the same connection it works with, so losing the connection is losing the office. Whatever
else it waits for, the database hears from it: one that stands still loses the office within seconds.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from common import metrics
from common.bus import publishing, republication
from common.bus.interruptions import INTERRUPTIONS, own_cancellation_only
from common.bus.kafka import Cluster, abandon, make_producer
from common.bus.ownership import connect_owner, heard
from common.metric_names import RELAY_ACTIVE, RELAY_BATCHES, RELAY_INTERRUPTIONS
from common.settings import ServiceSettings

log = logging.getLogger(__name__)

BATCH = 500
SILENCE = 3.0
"""Seconds after which the database takes an active relay that says nothing for dead. With the time until a
standby asks again and has a producer, it must stay under five."""
_LOCK = 0x72656C61  # "rela"
_STANDBY_SECONDS = 0.5
_POLL_SECONDS = (0.02, 0.5)
_HISTORY_UPKEEP_SECONDS = 3600.0

# Not parked, and not behind a parked event of the same aggregate.
_FREE = """o.parked_at IS NULL AND NOT EXISTS (
    SELECT FROM tenancy.outbox AS p
    WHERE p.parked_at IS NOT NULL AND p.tenant_id = o.tenant_id AND p.subject = o.subject)"""
# The numbers given are on disk when the answer is here, and so is everything that was committed before them.
_TAKE = f"""
WITH batch AS MATERIALIZED (
    SELECT o.* FROM tenancy.outbox AS o WHERE {_FREE} ORDER BY o.id LIMIT $1
), numbered AS (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM batch WHERE sequence IS NULL
), taken AS (
    UPDATE tenancy.relay_state SET next_sequence = next_sequence + (SELECT count(*) FROM numbered)
    WHERE EXISTS (SELECT FROM numbered)
    RETURNING next_sequence - (SELECT count(*) FROM numbered) AS base
), given AS (
    UPDATE tenancy.outbox AS o SET sequence = taken.base + numbered.place
    FROM numbered, taken WHERE o.id = numbered.id RETURNING o.*
)
SELECT * FROM given UNION ALL SELECT * FROM batch WHERE sequence IS NOT NULL ORDER BY id
"""  # noqa: S608 - made of constants
_CONFIRM = """
WITH gone AS (
    DELETE FROM tenancy.outbox AS o USING unnest($1::uuid[], $2::bigint[]) AS sent (tenant_id, id)
    WHERE o.tenant_id = sent.tenant_id AND o.id = sent.id RETURNING o.*
)
INSERT INTO tenancy.outbox_history
    (tenant_id, event_id, topic, type, subject, data, traceparent, tracestate, occurred_at, sequence)
SELECT tenant_id, event_id, topic, type, subject, data, traceparent, tracestate, occurred_at, sequence
FROM gone
"""
_HISTORY = "SELECT * FROM tenancy.outbox_history WHERE sequence > $1 ORDER BY sequence LIMIT $2"
_PARK = "UPDATE tenancy.outbox SET parked_at = clock_timestamp(), error = $3 WHERE tenant_id = $1 AND id = $2"


_batches = metrics.counter(RELAY_BATCHES, {})
_interruptions = metrics.counter(RELAY_INTERRUPTIONS, {})


def _is_active(relay: "Relay") -> Iterator[tuple[float, metrics.Labels]]:
    yield int(relay.active), {}


_active = metrics.Gauge(RELAY_ACTIVE, _is_active)


class Relay:
    """The relay of one service. `run` until cancelled; every failure is retried from the table."""

    def __init__(
        self, service: str, settings: ServiceSettings, cluster: Cluster, written: asyncio.Event
    ) -> None:
        self._service = service
        self._cluster = cluster
        self._settings = settings
        self._written = written
        self._leaving = asyncio.Event()
        self.active = False
        _active.watch(self)

    def leave(self) -> None:
        """Publish what is written, if it is our office, and then let `run` end."""
        self._leaving.set()
        self._written.set()

    async def run(self) -> None:
        """Until cancelled, or told to leave."""
        delay = 0.1
        while True:
            try:
                async with own_cancellation_only():
                    await self._serve_term()
                return
            except INTERRUPTIONS as error:
                _interruptions.add(1)
                log.warning("relay interrupted", extra={"fields": {"error": type(error).__name__}})
            finally:
                delay = 0.1 if self.active else min(delay * 2, 5.0)
                self.active = False
            await asyncio.sleep(delay)

    async def _serve_term(self) -> None:
        """Win the office, publish until the database or the broker fails; returns when we leave."""
        connection = await connect_owner(self._settings.relay_database_url, SILENCE)
        try:
            if not await self._win_office(connection):
                return
            async with _holding_on(connection):
                cluster = await self._cluster.current_id()
            producer = make_producer(self._settings, cluster)
            try:
                async with _holding_on(connection):
                    await producer.start()
                self.active = True
                await self._publish_until_leaving(connection, producer, cluster)
            finally:
                await abandon(producer)
        finally:
            await connection.close(timeout=2)

    async def _win_office(self, connection: asyncpg.Connection) -> bool:
        """Stand by until the lock is ours; it falls with the connection that holds it. False: we leave."""
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            if self._leaving.is_set():
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(_STANDBY_SECONDS):
                    await self._leaving.wait()
        return True

    async def _publish_until_leaving(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, cluster: str
    ) -> None:
        await self._replay_into(connection, producer, cluster)
        loop = asyncio.get_running_loop()
        upkeep = loop.time() - _HISTORY_UPKEEP_SECONDS
        idle = _POLL_SECONDS[0]
        while True:
            if loop.time() - upkeep > _HISTORY_UPKEEP_SECONDS:
                retention = timedelta(days=self._settings.event_retention_days)
                await connection.execute("SELECT tenancy.maintain_history($1)", retention)
                upkeep = loop.time()
            async with _holding_on(connection):
                now = await self._cluster.current_id()
            if now != cluster:
                raise KafkaError("the broker came back as another cluster")
            self._written.clear()
            sent = await self._publish_batch(connection, producer)
            if not self._leaving.is_set():
                sent += await self._publish_again(connection, producer)
            idle = _POLL_SECONDS[0] if sent else min(idle * 2, _POLL_SECONDS[1])
            if not sent and self._leaving.is_set():
                return
            if not sent:
                with suppress(TimeoutError):  # not wait_for, which may swallow a cancellation
                    async with asyncio.timeout(idle):
                        await self._written.wait()

    async def _replay_into(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, cluster: str
    ) -> None:
        """Fill a log we have not met yet with our history, in the order it was first published."""
        (state,) = await connection.fetch("SELECT cluster_id, replayed_to FROM tenancy.relay_state")
        if state["cluster_id"] == cluster and state["replayed_to"] < 0:
            return
        position = int(state["replayed_to"]) if state["cluster_id"] == cluster else 0
        await self._note_replay(connection, cluster, max(position, 0))
        count = 0
        while rows := await connection.fetch(_HISTORY, position, BATCH):
            count += len(rows)
            position = rows[-1]["sequence"]
            await self._send_all(connection, producer, rows)
            await self._note_replay(connection, cluster, position)
        await self._note_replay(connection, cluster, -1)
        log.info("history published", extra={"fields": {"cluster_id": cluster, "events": count}})

    async def _publish_again(self, connection: asyncpg.Connection, producer: AIOKafkaProducer) -> int:
        """Publish some of the history that an operator wants published again; returns how many."""
        rows = await republication.next_rows(connection, BATCH)
        if rows is None:
            return 0
        await self._send_all(connection, producer, rows)
        await republication.note_done(connection, rows)
        return len(rows)

    async def _send_all(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]
    ) -> None:
        """Send rows that were published before, however many batches that takes; what has become too large
        since is passed over.

        Raises:
            KafkaError: some partition failed.
        """
        while rows:
            result = await self._send(connection, producer, rows)
            if result.failure is not None:
                raise result.failure
            done = {row["event_id"] for row in (*result.acknowledged, *result.oversized)}
            rows = [row for row in rows if row["event_id"] not in done]

    async def _note_replay(self, connection: asyncpg.Connection, cluster: str, position: int) -> None:
        await connection.execute(
            "UPDATE tenancy.relay_state SET cluster_id = $1, replayed_to = $2", cluster, position
        )

    async def _publish_batch(self, connection: asyncpg.Connection, producer: AIOKafkaProducer) -> int:
        """Publish the lowest ids present; returns how many were confirmed.

        Raises:
            KafkaError: some partition failed; what the others acknowledged is confirmed all the same.
        """
        rows = await connection.fetch(_TAKE, BATCH)
        if not rows:
            return 0
        result = await self._send(connection, producer, rows)
        sent = result.acknowledged
        _batches.add(int(bool(sent)))
        await connection.execute(_CONFIRM, [row["tenant_id"] for row in sent], [row["id"] for row in sent])
        for row in result.oversized:
            log.error("event too large, parked", extra={"fields": {"event_id": str(row["event_id"])}})
            await connection.execute(_PARK, row["tenant_id"], row["id"], "larger than the broker takes")
        if result.failure is not None:
            raise result.failure
        return len(sent)

    async def _send(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]
    ) -> publishing.Result:
        """Send at most one batch per partition."""
        async with _holding_on(connection):
            return await publishing.send(self._service, producer, rows)


def _holding_on(connection: asyncpg.Connection) -> AbstractAsyncContextManager[None]:
    """While the broker is waited for, however long, the office stays ours."""
    return heard(connection, SILENCE)
