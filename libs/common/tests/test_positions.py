"""Where consumers stand in the log: what lag tools see, and a log that is shorter than it was.

With KAFKA=apache. Tansu's answer to the admin client's question cannot be read, and none of its logs ever
gets shorter: after each start it is another cluster.
"""

import os
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from libs.common.tests.backbone import PLACES, Handled, running, send, stand_at, until, update, wrap

from common.bus.group import group_of
from common.bus.kafka import Cluster
from common.ids import new_id
from common.settings import ServiceSettings

pytestmark = pytest.mark.skipif(os.environ.get("KAFKA") != "apache", reason="runs with KAFKA=apache")


@pytest.fixture
async def admin(settings: ServiceSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def reader(settings: ServiceSettings, cluster: Cluster) -> AsyncIterator[AIOKafkaConsumer]:
    await cluster.current_id()
    client = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers)
    await client.start()
    yield client
    await client.stop()


async def lag(admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, group: str) -> dict[TopicPartition, int]:
    """As lag tools reckon it: the log's end less what the group has committed."""
    committed = await admin.list_consumer_group_offsets(group)
    ends = await reader.end_offsets(PLACES)
    return {place: ends[place] - position.offset for place, position in committed.items()}


async def test_lag_tools_see_how_far_a_consumer_is(
    handled: Handled, settings: ServiceSettings, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer
) -> None:
    workspace, tenants = new_id(), [new_id() for _ in range(20)]
    group = group_of(handled.name)

    async def no_lag() -> bool:
        return await lag(admin, reader, group) == dict.fromkeys(PLACES, 0)

    async with running(handled.consumer().run()):
        await send(settings, *(wrap(update(tenant, workspace, 1)) for tenant in tenants))
        await until(no_lag)
    await send(settings, *(wrap(update(tenant, workspace, 2)) for tenant in tenants))
    assert sum((await lag(admin, reader, group)).values()) == len(tenants)
    async with running(handled.consumer().run()):
        await until(no_lag)


async def test_what_was_handled_last_is_told_before_the_consumer_goes(
    handled: Handled, settings: ServiceSettings, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer
) -> None:
    tenant, workspace = new_id(), new_id()

    async def handled_all() -> bool:
        return handled.effects_of(workspace) == [1, 2, 3]

    async with running(handled.consumer().run()):
        await send(settings, *(wrap(update(tenant, workspace, version)) for version in (1, 2, 3)))
        await until(handled_all)
    assert await lag(admin, reader, group_of(handled.name)) == dict.fromkeys(PLACES, 0)


async def test_a_log_that_lost_its_end_is_read_from_the_beginning(
    handled: Handled, settings: ServiceSettings, cluster: Cluster
) -> None:
    tenant, workspace = new_id(), new_id()
    await stand_at(settings, handled.name, await cluster.current_id(), dict.fromkeys(PLACES, 1_000_000))

    async def handled_one() -> bool:
        return handled.effects_of(workspace) == [1]

    async with running(handled.consumer().run()):
        await send(settings, wrap(update(tenant, workspace, 1)))
        await until(handled_one)
