"""Events that share transactions: each is committed when it is said to be, and suffers from no other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from libs.common.tests.backbone import Databases

from common.bus import outbox
from common.bus.outbox import Row
from common.bus.telling import Teller
from common.context import TenantContext
from common.contracts.audit import AccessMissed, HttpRequest, Target
from common.contracts.envelope import Actor, Event
from common.db.session import Database
from common.ids import new_id

AT_ONCE = 40
_REQUEST = HttpRequest(request_id="request-1", method="GET", route="/x", ip="127.0.0.1", user_agent="test")
POISON = "one at fault"


def miss(tenant: UUID, resource: str = "camp_1") -> AccessMissed:
    target = Target(type="campaign", id=resource)
    return AccessMissed(
        tenant_id=tenant, actor=Actor(type="user", id="user_1"), email=None, request=_REQUEST, target=target
    )


@pytest.fixture
def teller(database: Database) -> Teller:
    return Teller(database, "access", "test")


@pytest.fixture
async def written(service_database: Databases) -> AsyncIterator[asyncpg.Connection]:
    """Reads what others have committed."""
    connection = await asyncpg.connect((await service_database("workspaces")).superuser_url)
    yield connection
    await connection.close()


async def resources(written: asyncpg.Connection, tenant: UUID) -> list[str]:
    rows = await written.fetch(
        "SELECT data::json #>> '{target,id}' FROM tenancy.outbox WHERE tenant_id = $1 ORDER BY id", tenant
    )
    return [row[0] for row in rows]


async def test_what_is_told_at_once_shares_transactions(teller: Teller, written: asyncpg.Connection) -> None:
    tenant = new_id()
    wanted = [f"camp_{number}" for number in range(AT_ONCE)]
    await asyncio.gather(*(teller.tell(miss(tenant, one)) for one in wanted))
    assert await resources(written, tenant) == wanted
    shared = "SELECT count(DISTINCT xmin::text) FROM tenancy.outbox WHERE tenant_id = $1"
    assert await written.fetchval(shared, tenant) <= 2


async def test_an_event_is_there_for_others_once_it_is_told(
    teller: Teller, written: asyncpg.Connection
) -> None:
    tenant, looking = new_id(), asyncio.Lock()

    async def told(resource: str) -> bool:
        await teller.tell(miss(tenant, resource))
        async with looking:
            return resource in await resources(written, tenant)

    assert all(await asyncio.gather(*(told(f"camp_{number}") for number in range(8))))


async def test_tenants_share_nothing(teller: Teller, written: asyncpg.Connection) -> None:
    tenants = [new_id() for _ in range(4)]
    told = [(tenant, f"camp_{tenant.hex}") for _ in range(5) for tenant in tenants]
    await asyncio.gather(*(teller.tell(miss(tenant, resource)) for tenant, resource in told))
    for tenant in tenants:
        assert await resources(written, tenant) == [f"camp_{tenant.hex}"] * 5


async def test_one_at_fault_does_not_take_others_along(
    teller: Teller, written: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = outbox.rows_of

    def spoil(context: TenantContext, event: Event) -> list[Row]:
        rows = make(context, event)
        spoilt = POISON in rows[0]["data"]
        return [{**row, "topic": "no topic of ours"} for row in rows] if spoilt else rows

    monkeypatch.setattr(outbox, "rows_of", spoil)
    tenant = new_id()
    wishes = ["camp_1", POISON, "camp_2", "camp_3"]
    ends = await asyncio.gather(*(teller.tell(miss(tenant, one)) for one in wishes), return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), asyncpg.CheckViolationError, *[type(None)] * 2]
    assert await resources(written, tenant) == ["camp_1", "camp_2", "camp_3"]


async def test_those_who_have_gone_hold_nobody_up(teller: Teller, written: asyncpg.Connection) -> None:
    tenant = new_id()
    gone, stays = [asyncio.create_task(teller.tell(miss(tenant, f"camp_{number}"))) for number in (1, 2)]
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert await resources(written, tenant) == ["camp_1", "camp_2"]
    await teller.tell(miss(tenant, "camp_3"))


async def test_all_hear_of_a_database_that_is_away() -> None:
    away = Teller(Database("postgresql://nobody@127.0.0.1:1/none", "00" * 32), "access", "test")
    tenant = new_id()
    for _ in range(2):
        ends = await asyncio.gather(*(away.tell(miss(tenant)) for _ in range(5)), return_exceptions=True)
        assert Counter(isinstance(end, OSError) for end in ends) == {True: 5}
