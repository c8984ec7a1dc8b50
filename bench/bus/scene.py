"""What the bus is measured on: a database and a broker of its own; the rest of the stack stands still."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg
from tests.e2e.client import eventually
from tests.faults.bus import ledger
from tests.faults.bus.broker import OwnBroker

from bench.subject import SAMPLED, Subject
from common import clock
from common.bus.kafka import Cluster
from common.bus.relay import Relay
from common.contracts.envelope import Envelope
from common.contracts.workspaces import WorkspaceUpdated
from common.db.provision import role_names
from common.db.session import Database
from common.ids import new_id
from common.settings import ServiceSettings
from common.testing.databases import DatabaseServer, ServiceDatabase, make_database

_AGGREGATES = 5


@dataclass(frozen=True)
class Scene:
    """An empty ledger (`tests.faults.bus.ledger`) and an empty log."""

    settings: ServiceSettings
    database: Database
    cluster: Cluster
    sql: asyncpg.Connection
    short: bool

    def size(self, full: int) -> int:
        """How much of it is measured."""
        return max(full // 10, 20) if self.short else full

    @asynccontextmanager
    async def relaying(self) -> AsyncGenerator[None]:
        """The ledger's relay runs in this process, and is in office."""
        relay = Relay(ledger.SOURCE, self.settings, self.cluster, self.database.events_written)
        task = asyncio.create_task(relay.run())

        async def active() -> bool:
            return relay.active

        try:
            await eventually(active, within=30)
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def scene(subject: Subject) -> AsyncGenerator[Scene]:
    superuser = str(subject.environment["postgres"]["superuser"])
    server = DatabaseServer(superuser, dict.fromkeys(role_names(ledger.NAME), "pw"))
    made = await make_database(server, ledger.NAME, ledger.MIGRATIONS)
    try:
        with subject.database_alone():
            async with _broker() as address, _opened(made, address, subject.short) as opened:
                yield opened
    finally:
        await made.drop()


@asynccontextmanager
async def _broker() -> AsyncGenerator[str]:
    """The local stack's broker, on ports of its own."""
    with TemporaryDirectory() as folder:
        broker = OwnBroker(Path(folder))
        broker.start()
        try:
            await eventually(broker.is_open, within=30)
            yield broker.address
        finally:
            broker.kill()


@asynccontextmanager
async def _opened(made: ServiceDatabase, address: str, short: bool) -> AsyncGenerator[Scene]:
    settings = ServiceSettings(
        database_url=made.app_url,
        relay_database_url=made.relay_url,
        tenancy_key=made.tenancy_key,  # type: ignore[arg-type]
        link_secret="00" * 32,  # type: ignore[arg-type]
        kafka_bootstrap_servers=address,
        kafka_idempotence=False,
    )
    database, cluster = Database(made.app_url, made.tenancy_key), Cluster(settings)
    sql = await asyncpg.connect(made.superuser_url)

    try:
        yield Scene(settings, database, cluster, sql, short)
    finally:
        await sql.close()
        await cluster.close()
        await database.close()


def tenants(count: int) -> list[UUID]:
    return [new_id() for _ in range(count)]


def change(tenant: UUID, workspace: UUID, version: int) -> WorkspaceUpdated:
    """An event of some three hundred bytes."""
    return WorkspaceUpdated(
        tenant_id=tenant, workspace_id=workspace, version=version, name="Spring", slug="spring"
    )


def envelopes(owners: Sequence[UUID], count: int) -> list[Envelope]:
    """Events of a few aggregates of each tenant, in random order of the tenants."""
    chooser = random.Random(20261122)
    aggregates = [(tenant, new_id()) for tenant in owners for _ in range(_AGGREGATES)]
    return [
        _envelope(change(*chooser.choice(aggregates), number), number, chooser) for number in range(count)
    ]


def _envelope(event: WorkspaceUpdated, number: int, chooser: random.Random) -> Envelope:
    traceparent = f"00-{chooser.randbytes(16).hex()}-{chooser.randbytes(8).hex()}"
    return Envelope(
        event_id=new_id(),
        source=ledger.SOURCE,
        type=event.ce_type(),
        time=clock.now(),
        subject=event.subject,
        tenant_id=event.tenant_id,
        sequence=number,
        data=event.model_dump_json().encode(),
        traceparent=f"{traceparent}-{'01' if chooser.random() < SAMPLED else '00'}",
    )
