"""The audit consumer: every topic, every tenant, as the role `audit_ingest`."""

import asyncio
from datetime import timedelta
from typing import cast

from audit.ingest.batch import Recorder
from audit.ingest.processor import Ingestion
from audit.ingest.upkeep import Upkeep
from audit.settings import AuditSettings
from common.bus.consumer import Consumer
from common.bus.kafka import Cluster, all_topics
from common.contracts.envelope import Topic
from common.web.kernel import Kernel

CONSUMER = "audit-ingest"


async def ingest(kernel: Kernel) -> None:
    """Take every event into the log until cancelled."""
    settings = cast(AuditSettings, kernel.settings)
    url = settings.ingest_database_url
    recorder = Recorder(bytes.fromhex(settings.link_secret.get_secret_value()))
    wake = kernel.database.events_written.set
    retention = timedelta(days=settings.audit_retention_days)
    ingestion = Ingestion(url, recorder, retention, wake)
    cluster = Cluster(settings)
    # Dead letters take sequence numbers too, so their topics are read to tell a hole from a burial.
    topics = cast(list[Topic], all_topics())
    consumer = Consumer(CONSUMER, settings, cluster, topics, ingestion, database_url=url)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run())
            group.create_task(Upkeep(url, recorder, retention, wake).run())
    finally:
        await cluster.close()
