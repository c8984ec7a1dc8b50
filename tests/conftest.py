"""Fixtures of the tests that talk to the running platform."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def environment(stack: Stack) -> dict[str, Any]:
    """What `penguinmails env --json` prints."""
    return stack.env()


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
