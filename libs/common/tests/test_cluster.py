"""What a process learns about the broker's cluster before it works with it."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from common.bus.kafka import Cluster


async def test_a_broker_outside_its_cluster_is_a_broker_that_is_away(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apache Kafka's answers before it is let in again, and where it knows no topic."""
    with monkeypatch.context() as starting:
        starting.setattr(AIOKafkaAdminClient, "describe_cluster", nobody)
        starting.setattr(AIOKafkaAdminClient, "describe_topics", none)
        with pytest.raises(KafkaError, match="not in its cluster"):
            await cluster.current_id()
    assert await cluster.current_id()


async def nobody(_admin: AIOKafkaAdminClient) -> dict[str, object]:
    return {"brokers": [], "cluster_id": "x", "controller_id": -1}


async def none(_admin: AIOKafkaAdminClient) -> list[dict[str, object]]:
    return []
