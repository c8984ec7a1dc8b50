"""Fixtures of all tests: one running stack, and beside it a database server with services of a test's own."""

import asyncio
import importlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import asyncpg
import pytest
from tests.e2e.client import eventually
from tests.faults.bus.broker import OwnBroker
from tests.pooler import pgbouncer
from tests.postgres import PASSWORD, database_server

from common.db.provision import role_names
from common.service import Service
from common.testing.databases import (
    DatabaseServer,
    ServiceDatabase,
    clone_database,
    make_database,
)
from common.testing.harness import Harness, harness
from penguinmails import ports
from penguinmails.config import Broker
from penguinmails.stack import Stack

pytest_plugins = ["tests.lanes", "tests.programs", "tests.summary"]

SERVICES = ("auth", "tenants", "workspaces", "campaigns", "audit")


def service_of(name: str) -> Service:
    """The declaration of a service."""
    service: Service = importlib.import_module(f"{name}.__main__").SERVICE
    return service


@pytest.fixture(scope="session")
def broker_kind() -> Broker:
    """What the tests run on: KAFKA=apache, else Tansu. With TEST_KAFKA_BOOTSTRAP it says what that is."""
    return Broker(os.environ.get("KAFKA") or Broker.TANSU)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, broker_kind: Broker) -> Iterator[Stack]:
    """The whole platform on free ports of its own, up once for all tests that need it."""
    port = ports.random_free(set())  # stacks that start at the same time would all want the default one
    running = Stack(tmp_path_factory.mktemp("a stack"), port, attached=True, broker=broker_kind)
    running.up()
    asyncio.run(_hand_to_the_system(running))
    yield running
    running.down()


async def _hand_to_the_system(stack: Stack) -> None:
    """Have commits wait for the system, not for its disk: the tests kill processes, and what a killed server
    wrote the system keeps."""
    connection = await asyncpg.connect(stack.config.superuser_dsn)
    try:
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DatabaseServer]:
    """A PostgreSQL server: TEST_POSTGRES_SUPERUSER_DSN (role passwords `pw`), else one that is no stack's.

    With TEST_POOLER=pgbouncer the app roles reach it through PgBouncer in transaction mode.
    """
    with ExitStack() as exits:
        dsn = os.environ.get("TEST_POSTGRES_SUPERUSER_DSN")
        if dsn:
            server = DatabaseServer(dsn, {role: PASSWORD for name in SERVICES for role in role_names(name)})
        else:
            server = exits.enter_context(database_server(tmp_path_factory.mktemp("postgres")))
        if os.environ.get("TEST_POOLER") == "pgbouncer":
            server = exits.enter_context(pgbouncer(server, tmp_path_factory.mktemp("pgbouncer")))
        yield server


@pytest.fixture(scope="session")
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, broker_kind: Broker
) -> Iterator[str]:
    """Bootstrap address of a broker: TEST_KAFKA_BOOTSTRAP, else one that is no stack's; Apache Kafka is."""
    address = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    if address:
        yield address
        return
    if broker_kind is Broker.APACHE:
        running: Stack = request.getfixturevalue("stack")
        yield str(running.env()["kafka"])
        return
    broker = OwnBroker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    asyncio.run(eventually(broker.is_open))
    yield broker.address
    broker.kill()


@pytest.fixture(scope="session")
async def service_database(
    postgres: DatabaseServer,
) -> AsyncIterator[Callable[[str], Awaitable[ServiceDatabase]]]:
    """Call it with a service's name: its freshly migrated database, one per service and session.

    TEST_DATABASE_TEMPLATES (JSON: service to database) names databases to copy instead of migrating.
    """
    made: dict[str, ServiceDatabase] = {}
    templates: dict[str, str] = json.loads(os.environ.get("TEST_DATABASE_TEMPLATES", "{}"))

    async def make(name: str) -> ServiceDatabase:
        if name in made:
            return made[name]
        if name in templates:
            made[name] = await clone_database(postgres, name, templates[name])
        else:
            made[name] = await make_database(postgres, name, service_of(name).migrations)
        return made[name]

    yield make
    for database in made.values():
        await database.drop()


@pytest.fixture(scope="session")
async def api(
    service_database: Callable[[str], Awaitable[ServiceDatabase]],
) -> AsyncIterator[Callable[..., Awaitable[Harness]]]:
    """Call it with a service's name (and settings): its application inside this process."""
    async with AsyncExitStack() as exits:
        made: dict[str, Harness] = {}

        async def make(name: str, **environment: Any) -> Harness:
            key = f"{name} {sorted(environment.items())}"
            if key not in made:
                database = await service_database(name)
                made[key] = await exits.enter_async_context(harness(service_of(name), database, environment))
            return made[key]

        yield make
