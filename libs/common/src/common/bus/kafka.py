"""Connections to the broker, its topics, and which log (cluster) we are talking to."""

import asyncio
import logging
from datetime import timedelta
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from common.contracts.envelope import PARTITIONS, TOPICS
from common.settings import ServiceSettings

log = logging.getLogger(__name__)

_TOPIC_EXISTS = 36
_MILLISECOND = timedelta(milliseconds=1)
_SEGMENT = timedelta(days=1)
_FRESH_SECONDS = 1.0
_ABANDON_SECONDS = 1.0
_UNREAD_SECONDS = 0.1
"""aiokafka's own."""


def all_topics() -> list[str]:
    """Every topic of the platform, dead letters included."""
    return [name for topic in TOPICS for name in (topic, f"{topic}.dlq")]


class Cluster:
    """Watches which cluster (log) stands behind the bootstrap address, and keeps our topics there.

    A broker whose log is in memory comes back empty and under another id; both are noticed here. One
    instance serves all roles of a process.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._admin: AIOKafkaAdminClient | None = None
        self._lock = asyncio.Lock()
        self._seen: tuple[float, str] = (float("-inf"), "")

    async def current_id(self) -> str:
        """Id of the cluster, at most a second old; all topics exist there.

        Raises:
            KafkaError: the broker is away or refuses.
        """
        async with self._lock:
            checked, known = self._seen
            now = asyncio.get_running_loop().time()
            if now - checked > _FRESH_SECONDS:
                known = await self._look()
                self._seen = (now, known)
            return known

    async def _look(self) -> str:
        try:
            admin = self._admin or await self._connect()
            described = await admin.describe_cluster()
            if not described["brokers"]:
                raise KafkaError("the broker is not in its cluster")
            await self._keep_topics(admin)
            return str(described["cluster_id"])
        except BaseException:
            await self.close()
            raise

    async def _keep_topics(self, admin: AIOKafkaAdminClient) -> None:
        """Make those that are missing.

        Keys find their partition by the number of partitions: with another number, order is lost.

        Raises:
            KafkaError: a topic was made by somebody else, such as a broker that makes topics by itself.
        """
        partitions = await _count_partitions(admin)
        missing = [name for name in all_topics() if name not in partitions]
        if missing:
            await _create_topics(admin, missing, self._settings)
            partitions = await _count_partitions(admin)
        wrong = [name for name in all_topics() if partitions.get(name) != PARTITIONS]
        if wrong:
            raise KafkaError(f"topics with other than {PARTITIONS} partitions: {', '.join(wrong)}")

    async def _connect(self) -> AIOKafkaAdminClient:
        self._admin = AIOKafkaAdminClient(
            bootstrap_servers=self._settings.kafka_bootstrap_servers, request_timeout_ms=5000
        )
        await self._admin.start()
        return self._admin

    async def close(self) -> None:
        admin, self._admin = self._admin, None
        self._seen = (float("-inf"), "")
        if admin is not None:
            await admin.close()


async def _count_partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Of every topic that is there."""
    described: list[dict[str, Any]] = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


def topic_settings(retention: timedelta) -> dict[str, str]:
    """How long a topic keeps events. Only closed segments are dropped, so each is closed after a day."""
    return {
        "retention.ms": str(retention // _MILLISECOND),
        "segment.ms": str(min(retention, _SEGMENT) // _MILLISECOND),
    }


async def _create_topics(admin: AIOKafkaAdminClient, names: list[str], settings: ServiceSettings) -> None:
    topics = [
        NewTopic(
            name,
            num_partitions=PARTITIONS,
            replication_factor=settings.kafka_replication_factor,
            topic_configs=topic_settings(timedelta(days=settings.event_retention_days)),
        )
        for name in names
    ]
    answer: Any = await admin.create_topics(topics)
    for name, code, *_ in answer.topic_errors:
        if code not in (0, _TOPIC_EXISTS):
            raise for_code(code)(f"topic {name} could not be made")
    log.info("topics made", extra={"fields": {"topics": names}})


def make_producer(settings: ServiceSettings, cluster: str) -> AIOKafkaProducer:
    """A producer for that log, which waits for all replicas; not started yet.

    It says in its name which log it means. A producer connects again by itself and sends what it has: a
    broker that came back empty can turn it away, so that nothing stands before the history in the new log.
    """
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        client_id=f"penguinmails@{cluster}",
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        request_timeout_ms=5000,
        metadata_max_age_ms=30_000,
        max_batch_size=1_000_000,
        max_request_size=4_000_000,
    )


def hold_fetches(consumer: AIOKafkaConsumer, milliseconds: int) -> None:
    """Let the broker hold fetches so long from the next one on."""
    inside: Any = consumer  # nothing public changes it
    inside._fetcher._fetch_max_wait_ms = milliseconds


def pass_over_unread(consumer: AIOKafkaConsumer, passing: bool) -> None:
    """Whether fetches of other partitions go on while something that was fetched is not read. By default they
    wait for that, for a tenth of a second."""
    inside: Any = consumer  # nothing public changes it
    inside._fetcher._prefetch_backoff = 0.0 if passing else _UNREAD_SECONDS


async def abandon(producer: AIOKafkaProducer) -> None:
    """Stop within seconds; what was not acknowledged is still in the outbox.

    `stop` alone waits for acknowledgements, and an idempotent producer asks for them without end. So its
    sender ends first, with a moment for the request under way; only then may its batches be given up.
    """
    inside: Any = producer  # nothing public gives batches up
    try:
        async with asyncio.timeout(_ABANDON_SECONDS):
            await inside._sender.close()
    except TimeoutError:
        log.warning("producer abandoned in the middle of a request")
    finally:
        _give_up(inside._message_accumulator)
        await producer.stop()


def _give_up(accumulator: Any) -> None:
    batches = [*chain(*accumulator._batches.values()), *accumulator._pending_batches]
    accumulator._pending_batches.update(batches)  # where each looks for itself when it ends
    accumulator.fail_all(KafkaError("the producer was abandoned"))
    for batch in batches:
        batch._drain_waiter.exception()  # nobody else asks, and asyncio complains of what nobody asked
