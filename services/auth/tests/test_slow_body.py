"""Whoever sends slowly holds nothing that others need."""

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy import AsyncAdaptedQueuePool

from common.testing.harness import Harness


async def test_a_body_that_does_not_come_holds_no_connection(service: Harness) -> None:
    """Of a route that declares none: the framework does not read it, but with a key it is compared."""
    tenant = await service.make_tenant()
    pool = service.kernel.database._engine.sync_engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    asked, over = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        asked.set()
        await over.wait()
        yield b"{}"

    before = pool.checkedout()
    headers = {**tenant.headers, "Idempotency-Key": "slow-and-slow-and-slow"}
    request = asyncio.create_task(
        service.client.post("/api/v1/auth/logout-all", headers=headers, content=body())
    )
    async with asyncio.timeout(10):
        await asked.wait()
    held = pool.checkedout() - before
    over.set()
    assert (await request).status_code == 204
    assert held == 0
