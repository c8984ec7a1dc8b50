"""One replica of the ledger's relay or consumer: what its own process runs."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from common import telemetry
from common.bus import consumer, relay
from common.bus.consumer import Consumer
from common.bus.kafka import Cluster
from common.bus.lanes import Lanes
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import Database
from common.settings import ServiceSettings
from tests.faults.bus import crashes, ledger


def run(options: dict[str, Any]) -> None:
    """Until SIGTERM. Options: `role`; `crash`, `step` (`crashes`); `batch`; `handler_seconds`, `silence`."""
    if "crash" in options:
        crashes.arm(options["crash"], options["step"])
    relay.BATCH = options.get("batch", relay.BATCH)
    consumer.SILENCE = options.get("silence", consumer.SILENCE)
    telemetry.start_logging(ledger.NAME, "INFO")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: dict[str, Any]) -> None:
    settings = ServiceSettings()  # type: ignore[call-arg]  # fields come from the environment
    database = database_of(settings)
    cluster = Cluster(settings)
    role = asyncio.create_task(_role(options, settings, database, cluster)())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, role.cancel)
    try:
        await asyncio.gather(role, return_exceptions=True)
    finally:
        await cluster.close()
        await database.close()


def database_of(settings: ServiceSettings) -> Database:
    """The ledger's database as its app role sees it."""
    return Database(settings.database_url, settings.tenancy_key.get_secret_value())


def _role(
    options: dict[str, Any], settings: ServiceSettings, database: Database, cluster: Cluster
) -> Callable[[], Awaitable[None]]:
    if options["role"] == "relay":
        return relay.Relay(ledger.SOURCE, settings, cluster, database.events_written).run
    handlers = {WorkspaceUpdated: ledger.handler(options.get("handler_seconds", 0))}
    processor = Lanes(ledger.NAME, database, handlers)
    return Consumer(ledger.NAME, settings, cluster, [ledger.TOPIC], processor).run
