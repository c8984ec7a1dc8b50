"""A month's sends: reserved exactly, whoever asks at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from services.campaigns.tests.conftest import Events

from campaigns.quota.queries import get_reserved
from campaigns.quota.service import reserve_sends
from campaigns.snapshot import describe
from common.bus.snapshot import describe_all
from common.context import SystemContext
from common.contracts.tenants import Limits, TenantLimitsUpdated
from common.errors import LimitExceeded
from common.testing.harness import Harness, MadeTenant

NOVEMBER = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
Reserve = Callable[..., Awaitable[LimitExceeded | None]]


def limits(sends: int) -> Limits:
    return Limits(max_workspaces=3, max_users=3, email_sends_per_month=sends)


@pytest.fixture
async def tenant(service: Harness) -> MadeTenant:
    return await service.make_tenant(limits=limits(100))


@pytest.fixture
def reserve(service: Harness, tenant: MadeTenant) -> Reserve:
    """Reserves in a transaction of its own; the refusal, if it is one."""

    async def attempt(count: int, now: datetime = NOVEMBER) -> LimitExceeded | None:
        context = SystemContext(tenant.tenant_id, "job", "campaigns")
        async with service.kernel.database.tenant(context) as session:
            try:
                await reserve_sends(session, count, now)
            except LimitExceeded as refusal:
                return refusal
            await session.commit()
            return None

    return attempt


async def reserved(service: Harness, tenant: MadeTenant) -> int:
    context = SystemContext(tenant.tenant_id, "job", "campaigns")
    async with service.kernel.database.tenant(context) as session:
        return await get_reserved(session, NOVEMBER.date().replace(day=1))


async def test_fifty_at_once_reserve_exactly_what_there_is(
    service: Harness, tenant: MadeTenant, reserve: Reserve, events: Events
) -> None:
    refusals = [refusal for refusal in await asyncio.gather(*(reserve(7) for _ in range(50))) if refusal]
    assert len(refusals) == 36, "fourteen times seven fit"
    assert await reserved(service, tenant) == 98
    assert {tuple(one.members.items()) for one in refusals} == {
        (("limit", "email_sends_per_month"), ("current", 98), ("maximum", 100))
    }
    told = await events(tenant.tenant_id, "EmailSendsReserved")
    assert [(event["version"], event["reserved"]) for event in told] == [(n, 7 * n) for n in range(1, 15)]
    assert told[0]["month"] == "2026-11-01"


async def test_all_or_nothing_to_the_last_one(service: Harness, tenant: MadeTenant, reserve: Reserve) -> None:
    assert await reserve(101)
    assert await reserved(service, tenant) == 0
    assert await reserve(100) is None
    assert await reserve(1)
    assert await reserved(service, tenant) == 100


async def test_each_month_begins_anew(service: Harness, tenant: MadeTenant, reserve: Reserve) -> None:
    assert await reserve(100) is None
    assert await reserve(1, DECEMBER) is None
    assert await reserved(service, tenant) == 100


async def test_an_overridden_limit_holds_from_its_event_on(
    service: Harness, tenant: MadeTenant, reserve: Reserve
) -> None:
    assert await reserve(100) is None
    raised = TenantLimitsUpdated(tenant_id=tenant.tenant_id, version=2, limits=limits(101))
    await service.handle(tenant.tenant_id, raised)
    assert await reserve(1) is None
    lowered = TenantLimitsUpdated(tenant_id=tenant.tenant_id, version=3, limits=limits(5))
    await service.handle(tenant.tenant_id, lowered)
    refusal = await reserve(1)
    assert refusal is not None
    assert refusal.members == {"limit": "email_sends_per_month", "current": 101, "maximum": 5}


@pytest.mark.parametrize("count", [0, -1])
async def test_only_a_positive_number_is_reserved(
    service: Harness, tenant: MadeTenant, reserve: Reserve, count: int
) -> None:
    with pytest.raises(ValueError, match="positive"):
        await reserve(count)


async def test_what_is_rolled_back_is_free_again(
    service: Harness, tenant: MadeTenant, reserve: Reserve
) -> None:
    context = SystemContext(tenant.tenant_id, "job", "campaigns")
    async with service.kernel.database.tenant(context) as session:
        await reserve_sends(session, 100, NOVEMBER)
    assert await reserve(100) is None


async def test_a_snapshot_tells_each_month_again(
    service: Harness, tenant: MadeTenant, reserve: Reserve, events: Events
) -> None:
    for now, count in ((NOVEMBER, 5), (NOVEMBER, 6), (DECEMBER, 7)):
        assert await reserve(count, now) is None
    database = service.kernel.database
    async for count in describe_all("campaigns", database, describe, [tenant.tenant_id], dry_run=False):
        assert count == 2
    told = (await events(tenant.tenant_id, "EmailSendsReserved"))[3:]
    assert [(event["month"], event["version"], event["reserved"], event["added"]) for event in told] == [
        ("2026-11-01", 2, 11, 0),
        ("2026-12-01", 1, 7, 0),
    ]
