"""Fixtures of the tests that talk to the running platform."""

import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from penguinmails.credentials import SERVICES
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant
from tests.e2e.projections import Databases

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `penguinmails env --json` prints; with TEST_GATEWAY the gateway of another installation."""
    gateway = os.environ.get("TEST_GATEWAY")
    if gateway:
        return {"gateway": gateway}
    stack: Stack = request.getfixturevalue("stack")
    return stack.env()


@pytest.fixture(scope="session")
def client_address() -> str:
    """Where the gateway sees us come from: TEST_CLIENT_ADDRESS, else loopback."""
    return os.environ.get("TEST_CLIENT_ADDRESS") or "127.0.0.1"


@pytest.fixture(scope="session")
async def platform(environment: dict[str, Any]) -> AsyncIterator[Platform]:
    """A client of the gateway."""
    async with httpx.AsyncClient(base_url=environment["gateway"], timeout=20) as http:
        yield Platform(http)


@pytest.fixture
async def tenant(platform: Platform) -> Tenant:
    """A tenant of the test's own."""
    return await platform.sign_up(f"Company {next(_numbers)}")


@pytest.fixture
async def other(platform: Platform) -> Tenant:
    """A second tenant, to be kept apart from the first."""
    return await platform.sign_up(f"Stranger {next(_numbers)}")


@pytest.fixture
async def databases(environment: dict[str, Any]) -> AsyncIterator[Databases]:
    """Every service's database, as the superuser."""
    url = make_url(environment["postgres"]["superuser"])
    opened = {
        service: await asyncpg.connect(url.set(database=service).render_as_string(hide_password=False))
        for service in SERVICES
    }
    yield opened
    for connection in opened.values():
        await connection.close()
