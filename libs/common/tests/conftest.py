"""Fixtures of the event backbone: one service's database, its settings, the broker."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from fastapi import FastAPI
from libs.common.tests.backbone import Databases, Handled, ends, stand_at
from libs.common.tests.desk import Desk

from common.bus.kafka import Cluster
from common.contracts.envelope import Event
from common.db.session import Database, TenantSession
from common.events_cli import events_commands
from common.service import Service
from common.settings import ServiceSettings
from penguinmails.config import Broker


@pytest.fixture
async def database(service_database: Databases) -> AsyncIterator[Database]:
    made = await service_database("workspaces")
    database = Database(made.app_url, made.tenancy_key)
    yield database
    await database.close()


@pytest.fixture
async def settings(service_database: Databases, kafka: str, broker_kind: Broker) -> ServiceSettings:
    made = await service_database("workspaces")
    return ServiceSettings(
        database_url=made.app_url,
        relay_database_url=made.relay_url,
        tenancy_key=made.tenancy_key,  # type: ignore[arg-type]
        link_secret="00" * 32,  # type: ignore[arg-type]
        kafka_bootstrap_servers=kafka,
        kafka_idempotence=broker_kind is Broker.APACHE,
    )


@pytest.fixture
async def cluster(settings: ServiceSettings) -> AsyncIterator[Cluster]:
    cluster = Cluster(settings)
    yield cluster
    await cluster.close()


@pytest.fixture
async def desk(
    settings: ServiceSettings, service_database: Databases, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """At the commands about events of `workspaces`, whose state is none here."""
    for module in ("events_cli", "parked_cli"):
        monkeypatch.setattr(f"common.{module}.from_environment", lambda _: settings)
    service = Service("workspaces", ServiceSettings, lambda _: FastAPI(), Path(), describe=_nothing)
    connection = await asyncpg.connect((await service_database("workspaces")).superuser_url)
    yield Desk(events_commands(service), connection)
    await connection.close()


async def _nothing(session: TenantSession) -> AsyncIterator[Event]:
    for event in ():
        yield event


@pytest.fixture
async def handled(database: Database, settings: ServiceSettings, cluster: Cluster) -> Handled:
    """It begins where the log ends now: what other tests left there is not its to handle."""
    handled = Handled(database, settings, cluster)
    await stand_at(settings, handled.name, await cluster.current_id(), await ends(settings))
    return handled
