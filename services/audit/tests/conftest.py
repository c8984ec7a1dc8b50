"""The log under test and tenants of the test's own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest
from services.audit.tests.book import Book

from common.ids import new_id
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness


@pytest.fixture(scope="session")
async def database(service_database: Callable[[str], Awaitable[ServiceDatabase]]) -> ServiceDatabase:
    return await service_database("audit")


@pytest.fixture
async def book(database: ServiceDatabase) -> AsyncIterator[Book]:
    connection = await asyncpg.connect(database.superuser_url)
    book = Book(database, connection)
    yield book
    await book.ingestion.abandon()
    await connection.close()


@pytest.fixture
async def service(api: Callable[[str], Awaitable[Harness]]) -> Harness:
    return await api("audit")


@pytest.fixture
def ours() -> UUID:
    """A tenant's id."""
    return new_id()


@pytest.fixture
def theirs() -> UUID:
    """Another tenant's id."""
    return new_id()
