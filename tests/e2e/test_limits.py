"""Limits through the gateway: named when reached, and acting soon after an operator has changed them."""

import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Any
from uuid import uuid4

import pytest

from common.context import SystemContext
from common.db.session import Database
from common.ids import Kind, parse
from common.service import open_database
from penguinmails.stack import Stack
from tenants.tenant.queries import lock_company
from tenants.tenant.service import override_limits
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.test_events_command import settings_of


@pytest.fixture
async def tenants_database(stack: Stack) -> AsyncIterator[Database]:
    """The running tenants service's database, as that service sees it."""
    database = open_database(settings_of(stack, "tenants"))
    yield database
    await database.close()


async def override(database: Database, tenant: Tenant, **limits: int) -> None:
    """What an operator does."""
    context = SystemContext(parse(Kind.TENANT, tenant.tenant_id), "job", "tenants")
    async with database.tenant(context) as session:
        await override_limits(session, await lock_company(session), limits)
        await session.commit()


async def test_an_overridden_limit_acts_within_a_second(
    platform: Platform, tenant: Tenant, tenants_database: Database
) -> None:
    async def create() -> dict[str, Any]:
        answer = await platform.post(tenant, "/workspaces", {"name": f"Space {uuid4().hex}"})
        body: dict[str, Any] = answer.json()
        return body

    async def created() -> bool:
        return "workspace_id" in await create()

    assert [await created() for _ in range(3)] == [True, True, False]
    seconds: list[float] = []
    for maximum in (4, 5, 6):
        refused = await create()
        named = (refused["code"], refused["limit"], refused["current"], refused["maximum"])
        assert named == ("limit_exceeded", "max_workspaces", maximum - 1, maximum - 1)
        await override(tenants_database, tenant, max_workspaces=maximum, max_users=1)
        began = time.monotonic()
        await eventually(created, within=10)
        seconds.append(time.monotonic() - began)
    assert median(seconds) < 1, seconds

    async def no_more_users() -> bool:
        body = {"email": f"{uuid4().hex}@acme.example.com", "role": "member"}
        answer = await platform.post(tenant, "/invitations", body)
        return answer.json().get("maximum") == 1

    await eventually(no_more_users)
    usage = (await platform.get(tenant, f"/tenants/{tenant.tenant_id}/usage")).json()
    assert usage["limits"]["max_workspaces"] == 6
    assert usage["usage"]["email_sends_this_month"] == 0
