"""Fixtures: a scene for each test, and its verdict."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from common.db.provision import role_names
from common.settings import ServiceSettings
from common.testing.databases import DatabaseServer, ServiceDatabase, clone_database, make_database
from penguinmails.config import Broker as BrokerKind
from tests.faults import chance
from tests.faults.bus import ledger
from tests.faults.bus.broker import Broker, OwnBroker, StackBroker
from tests.faults.bus.nursery import Nursery
from tests.faults.bus.scene import Scene
from tests.faults.bus.verdict import Verdict
from tests.summary import Say


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, broker_kind: BrokerKind
) -> Iterator[Broker]:
    """A broker that may be killed: one that nobody else uses, or the stack's Apache Kafka."""
    if broker_kind is BrokerKind.APACHE:
        yield StackBroker(request.getfixturevalue("stack"))
        return
    broker = OwnBroker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def address(request: pytest.FixtureRequest) -> str:
    """Where the log is: TEST_KAFKA_BOOTSTRAP, else the broker that may be killed."""
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    return given or request.getfixturevalue("broker").address


@pytest.fixture(scope="session")
async def template(postgres: DatabaseServer) -> AsyncIterator[ServiceDatabase]:
    """The ledger's migrated database, to be copied."""
    server = DatabaseServer(postgres.superuser_url, dict.fromkeys(role_names(ledger.NAME), "pw"))
    made = await make_database(server, ledger.NAME, ledger.MIGRATIONS)
    yield made
    await made.drop()


@pytest.fixture
async def scene(
    request: pytest.FixtureRequest,
    template: ServiceDatabase,
    address: str,
    broker_kind: BrokerKind,
    nursery: Nursery,
    tmp_path: Path,
) -> AsyncIterator[Scene]:
    """An empty ledger on a broker."""
    made = await clone_database(template.server, ledger.NAME, template.name)
    settings = ServiceSettings(
        database_url=made.app_url,
        relay_database_url=made.relay_url,
        tenancy_key=made.tenancy_key,  # type: ignore[arg-type]
        link_secret="00" * 32,  # type: ignore[arg-type]
        kafka_bootstrap_servers=address,
        kafka_idempotence=broker_kind is BrokerKind.APACHE or "TEST_KAFKA_BOOTSTRAP" in os.environ,
    )
    scene = Scene(made, settings, nursery, tmp_path, request.node.name)
    await scene.open()
    yield scene
    await scene.close()
    await made.drop()


@pytest.fixture
def conclude(request: pytest.FixtureRequest, scene: Scene, say_at_the_end: Say) -> Callable[..., None]:
    """Call it with the verdict and further facts: one line of summary; fails unless the verdict is clean."""

    def say(verdict: Verdict, **facts: object) -> None:
        further = "".join(f", {name.replace('_', ' ')}: {value}" for name, value in facts.items())
        counts = f"{verdict.events} events, {scene.kills} kills, {verdict.lost} lost, "
        counts += f"{verdict.doubled} doubled, {verdict.inverted} inverted, {verdict.invented} invented"
        line = f"{request.node.name}: FAULT_SEED={chance.seed()}: {counts}{further}"
        say_at_the_end("faults of the bus", line)
        assert verdict.clean, line

    return say
