"""A consumer that had to stop keeps nothing from starting: where nothing runs, nobody could let it go on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.test_command import run

CONSUMER = "campaigns"


@pytest.fixture
async def stopped(environment: dict[str, Any]) -> AsyncIterator[asyncpg.Connection]:
    """The database of `campaigns`, whose consumer has stopped."""
    url = make_url(environment["postgres"]["superuser"]).set(database=CONSUMER)
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    await connection.execute(
        "INSERT INTO tenancy.stopped_consumers (consumer, dead_letters) VALUES ($1, 101)", CONSUMER
    )
    try:
        yield connection
    finally:
        await connection.execute("DELETE FROM tenancy.stopped_consumers")
        await connection.close()


async def test_its_service_starts_and_serves_and_status_and_doctor_name_it(
    stack: Stack, platform: Platform, tenant: Tenant, stopped: asyncpg.Connection
) -> None:
    old = stack.kill(CONSUMER)
    await asyncio.to_thread(stack.wait_ready, CONSUMER, old)

    async def serves() -> bool:
        return (await platform.get(tenant, "/contacts")).status_code == 200

    await eventually(serves, within=20)
    status, output = await run(stack, "status")
    assert (status, f"stopped: {CONSUMER}" in output) == (1, True), output
    status, output = await run(stack, "doctor")
    assert (status, f"{CONSUMER} stopped after too many dead letters" in output) == (1, True), output
    await stopped.execute("DELETE FROM tenancy.stopped_consumers")
    status, output = await run(stack, "status")
    assert status == 0, output
