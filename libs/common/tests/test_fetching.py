"""How long events wait for a consumer's fetch."""

import asyncio

from libs.common.tests.backbone import Handled, running, until, update, write

from common.bus.kafka import Cluster
from common.bus.relay import Relay
from common.db.session import Database
from common.ids import new_id
from common.settings import ServiceSettings


async def test_events_that_follow_one_another_do_not_wait_for_a_fetch_that_is_held(
    database: Database, settings: ServiceSettings, cluster: Cluster
) -> None:
    """Tansu holds a fetch of two seconds for one, whatever arrives meanwhile."""
    handled = Handled(database, settings.model_copy(update={"kafka_fetch_wait_ms": 2000}), cluster)
    tenant, workspace = new_id(), new_id()
    relay = Relay("workspaces", settings, cluster, database.events_written)

    async def follow(version: int) -> None:
        await write(database, tenant, update(tenant, workspace, version))

        async def arrived() -> bool:
            return version in handled.effects_of(workspace)

        await until(arrived)

    async with running(relay.run(), handled.consumer().run()):
        for version in (1, 2):
            await follow(version)
        began = asyncio.get_running_loop().time()
        for version in range(3, 9):
            await follow(version)
        assert asyncio.get_running_loop().time() - began < 4
