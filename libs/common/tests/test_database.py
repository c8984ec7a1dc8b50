"""Opening a tenant session while the database comes and goes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from common.context import SystemContext
from common.db.errors import is_unavailable
from common.db.session import Database
from common.ids import new_id
from common.testing.databases import ServiceDatabase

Databases = Callable[[str], Awaitable[ServiceDatabase]]


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_driver_that_gives_up_connecting_is_an_outage_and_no_cancellation(
    service_database: Databases, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    made = await service_database("workspaces")
    database = Database(made.app_url, made.tenancy_key, pool_size=1)
    connect = asyncpg.connect
    left = [asyncio.CancelledError()] * failures

    async def dying(*args: Any, **options: Any) -> Any:
        if left:
            raise left.pop()
        return await connect(*args, **options)

    monkeypatch.setattr(asyncpg, "connect", dying)
    context = SystemContext(new_id(), "job", "workspaces")
    try:
        if failures == 1:
            async with database.tenant(context) as session:
                assert session.tenant_id == context.tenant_id
        else:
            with pytest.raises(ConnectionError) as caught:
                async with database.tenant(context):
                    pytest.fail("there is no connection")
            assert is_unavailable(caught.value)
    finally:
        await database.close()
