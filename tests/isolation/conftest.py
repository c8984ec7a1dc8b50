"""Fixtures of the isolation tests: for each service a database with two tenants."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest

from common.testing.databases import ServiceDatabase
from common.testing.harness import BUSY, Harness
from penguinmails.stack import Stack
from tests.isolation.attacker import Attacker, attack
from tests.isolation.calls import Calls
from tests.isolation.installation import World, tenant_tables
from tests.isolation.recorder import StatementRecorder
from tests.isolation.routes import ROUTES
from tests.isolation.seeds import seed
from tests.isolation.services import ENVIRONMENT, SERVICES
from tests.isolation.targets import InProcess, Installation

Databases = Callable[[str], Awaitable[ServiceDatabase]]


@pytest.fixture(scope="session", autouse=True)
def statements() -> Iterator[StatementRecorder]:
    """What all services of these tests run, from the first test on."""
    recorder = StatementRecorder()
    recorder.start()
    yield recorder
    recorder.stop()


@pytest.fixture(scope="session")
async def worlds(
    api: Callable[..., Awaitable[Harness]], service_database: Databases
) -> Callable[[str], Awaitable[World]]:
    """Call it with a service's name: its world, made once."""
    made: dict[str, World] = {}

    async def make(name: str) -> World:
        if name not in made:
            database = await service_database(name)
            environment = {**ENVIRONMENT.get(name, {}), **_addresses(database)}
            made[name] = await _make_world(await api(name, **environment), database)
        return made[name]

    return make


def _addresses(database: ServiceDatabase) -> dict[str, str]:
    return {"ingest_database_url": database.ingest_url} if database.service == "audit" else {}


async def _make_world(harness: Harness, database: ServiceDatabase) -> World:
    mine, theirs = [
        await harness.make_tenant(company, features=BUSY) for company in ("Mine Ltd", "Theirs Ltd")
    ]
    for tenant in (mine, theirs):
        await seed(harness, tenant)
    await harness.kernel.access_log.flush()
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        tables = await tenant_tables(superuser, harness.service.name)
        await superuser.execute("ANALYZE")
    finally:
        await superuser.close()
    return World(harness.service.name, database, harness, mine, theirs, tables)


@pytest.fixture(params=SERVICES)
async def world(request: pytest.FixtureRequest, worlds: Callable[[str], Awaitable[World]]) -> World:
    """Each service's world in turn."""
    return await worlds(request.param)


@pytest.fixture
async def attacker(world: World) -> AsyncIterator[Attacker]:
    """Arbitrary SQL as the service's app role, on a connection of the test's own."""
    async with attack(world.database) as made:
        yield made


@pytest.fixture
async def superuser(world: World) -> AsyncIterator[asyncpg.Connection]:
    """Sees everything: for comparing with what the attacker sees."""
    connection = await asyncpg.connect(world.database.superuser_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="session")
async def in_process(worlds: Callable[[str], Awaitable[World]]) -> Calls:
    async def harness(name: str) -> Harness:
        return (await worlds(name)).harness

    return Calls(InProcess(harness), ROUTES)


@pytest.fixture(scope="session")
async def at_the_services(stack: Stack) -> AsyncIterator[Calls]:
    environment = stack.env()
    async with AsyncExitStack() as exits:
        gateway = await exits.enter_async_context(client(environment["gateway"]))
        services = {
            name: await exits.enter_async_context(client(url))
            for name, url in environment["services"].items()
        }
        yield Calls(Installation(gateway, environment["postgres"]["superuser"], services), ROUTES)


@pytest.fixture(scope="session")
async def at_the_gateway(stack: Stack) -> AsyncIterator[Calls]:
    environment = stack.env()
    async with client(environment["gateway"]) as gateway:
        yield Calls(Installation(gateway, environment["postgres"]["superuser"]), ROUTES)


@pytest.fixture(scope="session", params=["in_process", "at_the_gateway"])
def calls(request: pytest.FixtureRequest) -> Calls:
    """To the applications in this process, and to the gateway of the running stack; or, where a test says
    so, to its services."""
    chosen: Calls = request.getfixturevalue(request.param)
    return chosen


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=20)
