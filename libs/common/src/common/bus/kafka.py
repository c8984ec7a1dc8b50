"""Connections to the broker, its topics, and which log (cluster) we are talking to."""

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from common.contracts.envelope import PARTITIONS, TOPICS
from common.settings import ServiceSettings

log = logging.getLogger(__name__)

TOPIC_OWNERS: dict[str, str] = {
    "penguinmails.tenants": "tenants",
    "penguinmails.users": "auth",
    "penguinmails.workspaces": "workspaces",
    "penguinmails.campaigns": "campaigns",
    "penguinmails.security": "audit",
    "penguinmails.access": "audit",
}
"""The one service that may make a topic anew."""
_TOPIC_EXISTS = 36
_FRESH_SECONDS = 1.0


def all_topics() -> list[str]:
    """Every topic of the platform, dead letters included."""
    return [name for topic in TOPICS for name in (topic, f"{topic}.dlq")]


class Cluster:
    """Watches which cluster (log) stands behind the bootstrap address, and keeps our topics there.

    A broker whose log is in memory comes back empty and under another id; both are noticed here. One
    instance serves all roles of a process.
    """

    def __init__(self, settings: ServiceSettings, service: str = "") -> None:
        self._settings = settings
        self._service = service
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
            present = set(await admin.list_topics())
            missing = [name for name in all_topics() if name not in present]
            if missing:
                await _create_topics(admin, missing, self._settings.kafka_replication_factor)
            await self._mend_topics(admin)
            return str(described["cluster_id"])
        except BaseException:
            await self.close()
            raise

    async def _mend_topics(self, admin: AIOKafkaAdminClient) -> None:
        """Refuse topics that do not have our partitions.

        A broker that came back empty makes a topic by itself when an old client asks for it first. Where
        that can happen (`kafka_mend_topics`), the topic's one owner makes it anew, and everybody else waits:
        nobody has published to this log before they saw all topics right, so nothing is lost.

        Raises:
            KafkaError: a topic is not right (yet).
        """
        described: list[dict[str, Any]] = await admin.describe_topics(all_topics())
        wrong = [item["topic"] for item in described if len(item["partitions"]) < PARTITIONS]
        own = [name for name in wrong if TOPIC_OWNERS[name.removesuffix(".dlq")] == self._service]
        if own and self._settings.kafka_mend_topics:
            await admin.delete_topics(own)
            await _create_topics(admin, own, self._settings.kafka_replication_factor)
        if wrong:
            raise KafkaError(f"topics without {PARTITIONS} partitions: {', '.join(wrong)}")

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


async def _create_topics(admin: AIOKafkaAdminClient, names: list[str], replication: int) -> None:
    topics = [NewTopic(name, num_partitions=PARTITIONS, replication_factor=replication) for name in names]
    answer: Any = await admin.create_topics(topics)
    for name, code, *_ in answer.topic_errors:
        if code not in (0, _TOPIC_EXISTS):
            raise for_code(code)(f"topic {name} could not be made")
    log.info("topics made", extra={"fields": {"topics": names}})


def make_producer(settings: ServiceSettings) -> AIOKafkaProducer:
    """A producer that waits for all replicas; not started yet."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        request_timeout_ms=5000,
        metadata_max_age_ms=30_000,
        max_batch_size=1_000_000,
        max_request_size=4_000_000,
    )
