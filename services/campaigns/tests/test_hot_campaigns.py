"""The short way to campaigns answers what the framework's way would have answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Header, Query, Response
from sqlalchemy import select

from campaigns.campaign.queries import INSERT, LISTING
from campaigns.campaign.schemas import Campaign
from campaigns.models import CampaignRow
from common import clock
from common.context import RequestInfo, UserContext
from common.db.errors import TransactionLost
from common.db.session import HotSession
from common.db.statements import Statement
from common.ids import Kind, new_id, to_text
from common.schema import Page
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant, bearer
from common.web.hot import HotRoutes, hot
from common.web.routes import tenant_router

from .conftest import Events, add_workspace, make, workspace_text

PATH = "/api/v1/campaigns"
FULL = {
    "name": 'Gruß "an" \\ alle \U0001f427\u2028',
    "subject": "1 < 2 & 3",
    "from_name": "Ñandú",
    "from_email": "a@b.example",
    "reply_to": "b@b.example",
}
_VARIES = ("x-request-id", "x-trace-id", "ratelimit", "date")


def ordinary(tenant: MadeTenant) -> dict[str, str]:
    """Headers that send a request the framework's way."""
    return {**tenant.headers, "Idempotency-Key": str(new_id())}


def shown(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    return (
        answer.status_code,
        answer.content,
        {name: value for name, value in answer.headers.items() if name not in _VARIES},
    )


def context_of(tenant: MadeTenant, issued: Any) -> UserContext:
    info = RequestInfo("request-1", "GET", PATH, "127.0.0.1", "test")
    return UserContext(tenant.tenant_id, tenant.owner_id, new_id(), issued, "a@example.com", info)


@pytest.fixture
async def tenant(service: Harness) -> MadeTenant:
    return await service.make_tenant()


@pytest.fixture
def caller(service: Harness, tenant: MadeTenant) -> UserContext:
    return context_of(tenant, clock.now())


async def test_a_page_is_the_bytes_of_the_model(
    service: Harness, tenant: MadeTenant, caller: UserContext
) -> None:
    for fields in ({"name": "Bare"}, FULL, {"name": "x" * 255, "subject": None}):
        await make(service, tenant, "/campaigns", **fields)
    answer = await service.client.get(PATH, headers=tenant.headers)
    async with service.kernel.database.tenant(caller) as session:
        rows = (await session.scalars(select(CampaignRow).order_by(CampaignRow.campaign_id.desc()))).all()
        model = Page[Campaign](data=[Campaign.model_validate(row) for row in rows])
    assert answer.content == model.model_dump_json().encode()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"limit": "2"},
        {"limit": "0"},
        {"limit": "many"},
        {"limit": ""},
        {"status": "draft"},
        {"status": "nonsense"},
        {"status": ["sent", "draft"]},
        {"cursor": "nonsense"},
        {"workspace_id": "ws_1"},
        {"workspace_id": "ws_01h455vb4pex5vsknk084sn02q"},
        {"unknown": "1"},
    ],
    ids=str,
)
async def test_both_ways_answer_a_list_alike(
    service: Harness, tenant: MadeTenant, params: dict[str, Any]
) -> None:
    for number in range(3):
        await make(service, tenant, "/campaigns", name=f"Campaign {number}")
    short = await service.client.get(PATH, headers=tenant.headers, params=params)
    long = await service.client.get(PATH, headers=ordinary(tenant), params=params)
    if short.status_code < 300:
        assert shown(short) == shown(long)
    else:
        hidden = {"trace_id": ""}
        assert {**short.json(), **hidden} == {**long.json(), **hidden}


async def test_both_ways_turn_the_same_pages(service: Harness, tenant: MadeTenant) -> None:
    second = await add_workspace(service, tenant)
    for number in range(5):
        await make(service, tenant, "/campaigns", name=f"{number}", workspace_id=workspace_text(second))
    _, token = await service.make_user(tenant, workspaces={second: "viewer"})
    for headers in (tenant.headers, bearer(token)):
        params: dict[str, str] = {"limit": "2"}
        while True:
            answers = [
                await service.client.get(PATH, headers={**headers, **key}, params=params)
                for key in ({}, {"Idempotency-Key": "a"})
            ]
            assert shown(answers[0]) == shown(answers[1])
            cursor = answers[0].json()["next_cursor"]
            if cursor is None:
                break
            params["cursor"] = cursor


async def test_both_ways_make_the_same_campaign(service: Harness, tenant: MadeTenant, events: Events) -> None:
    body = {"workspace_id": workspace_text(tenant.workspace_id), **FULL}
    answers = [
        await service.client.post(PATH, headers=headers, json=body)
        for headers in (tenant.headers, ordinary(tenant))
    ]
    own = ("campaign_id", "created_at", "updated_at")
    shapes = [{name: None if name in own else value for name, value in a.json().items()} for a in answers]
    assert shapes[0] == shapes[1]
    assert [list(answer.json()) for answer in answers] == [list(Campaign.model_fields)] * 2
    assert answers[0].headers.keys() == answers[1].headers.keys()
    for answer in answers:
        read = await service.client.get(answer.headers["Location"], headers=tenant.headers)
        assert (read.content, read.headers["ETag"]) == (answer.content, answer.headers["ETag"])
    told = await events(tenant.tenant_id, "CampaignCreated")
    assert [event["campaign_id"] for event in told] == [answer.json()["campaign_id"] for answer in answers]
    actions = await events(tenant.tenant_id, "ActionRecorded")
    assert [action["request"]["route"] for action in actions] == [PATH] * 2
    assert [action["meta"] for action in actions] == [event["meta"] for event in told]


async def test_both_ways_answer_for_one_campaign_alike(
    service: Harness, tenant: MadeTenant, events: Events
) -> None:
    second, other = await add_workspace(service, tenant), await service.make_tenant()
    own = await make(service, tenant, "/campaigns", **FULL)
    inside = await make(service, tenant, "/campaigns", name="x", workspace_id=workspace_text(second))
    foreign = await make(service, other, "/campaigns", name="Theirs")
    _, token = await service.make_user(tenant, workspaces={tenant.workspace_id: "viewer"})
    never, impossible = to_text(Kind.CAMPAIGN, new_id()), "camp_1"
    statuses: list[int] = []
    for headers in (tenant.headers, bearer(token)):
        for campaign in (own, inside, foreign, never, impossible):
            path = f"{PATH}/{campaign}"
            short = await service.client.get(path, headers=headers)
            long = await service.client.get(path, headers={**headers, "Idempotency-Key": str(new_id())})
            hidden = {"trace_id": ""}
            assert {**short.json(), **hidden} == {**long.json(), **hidden}
            assert short.status_code != 200 or shown(short) == shown(long)
            statuses.append(short.status_code)
    assert statuses == [200, 200, 404, 404, 404, 200, 404, 404, 404, 404]
    missed = [event["target"]["id"] for event in await events(tenant.tenant_id, "AccessMissed")]
    assert missed == [one for one in (foreign, never, inside, foreign, never) for _ in range(2)]


async def test_a_campaign_made_wakes_the_relay(service: Harness, tenant: MadeTenant) -> None:
    written = service.kernel.database.listen()
    await service.client.get(PATH, headers=tenant.headers)
    assert not written.is_set()
    await make(service, tenant, "/campaigns", name="Spring")
    assert written.is_set()


async def test_contents_of_other_workspaces_are_refused_without_a_trace(
    service: Harness, tenant: MadeTenant, events: Events
) -> None:
    second = await add_workspace(service, tenant)
    inside = await make(service, tenant, "/lists", name="Inside", workspace_id=workspace_text(second))
    body = {"workspace_id": workspace_text(tenant.workspace_id), "name": "x", "list_id": inside}
    assert (await service.client.post(PATH, headers=tenant.headers, json=body)).status_code == 404
    assert await events(tenant.tenant_id, "CampaignCreated") == []


# The session ------------------------------------------------------------------------------------------


async def fetch_page(session: HotSession) -> list[asyncpg.Record]:
    return await session.fetch(LISTING.statement(frozenset()), page_limit=3)


async def test_nobody_can_name_another_tenant(
    service: Harness, tenant: MadeTenant, caller: UserContext
) -> None:
    other = await service.make_tenant()
    await make(service, other, "/campaigns", name="Theirs")
    async with service.kernel.database.hot(caller) as session:
        found = await session.fetch(LISTING.statement(frozenset()), page_limit=3, tenant_id=other.tenant_id)
    assert found == []


async def test_what_was_not_committed_is_gone_and_the_next_statement_enters_again(
    service: Harness, tenant: MadeTenant, caller: UserContext
) -> None:
    values = dict.fromkeys(INSERT.names) | {name: [] for name in INSERT.names[-7:]}
    values |= {"campaign_id": new_id(), "workspace_id": tenant.workspace_id, "name": "x", "version": 1}
    async with service.kernel.database.hot(caller) as session:
        await session.fetch(INSERT, **values)
        assert len(await fetch_page(session)) == 1
        await session.rollback()
        assert await fetch_page(session) == []


async def test_a_transaction_in_which_something_failed_is_not_committed(
    service: Harness, caller: UserContext
) -> None:
    broken = Statement("SELECT 1 / 0 WHERE $1::uuid IS NOT NULL", ("tenant_id",))
    async with service.kernel.database.hot(caller) as session:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await session.fetch(broken)
        with pytest.raises(TransactionLost):
            await session.commit()
        assert await fetch_page(session) == []


async def test_a_cancelled_request_leaves_a_clean_connection(service: Harness, caller: UserContext) -> None:
    slow = Statement("SELECT pg_sleep(60) WHERE $1::uuid IS NOT NULL", ("tenant_id",))
    begun = asyncio.Event()

    async def wait() -> None:
        async with service.kernel.database.hot(caller) as session:
            begun.set()
            await session.fetch(slow)

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with service.kernel.database.hot(caller) as session:
        assert await fetch_page(session) == []


async def test_connections_that_died_in_the_pool_are_not_noticed(
    service: Harness,
    service_database: Callable[[str], Awaitable[ServiceDatabase]],
    tenant: MadeTenant,
    caller: UserContext,
) -> None:
    async with service.kernel.database.hot(caller) as session:
        raw: Any = (await session.connection()).driver_connection
    superuser = await asyncpg.connect((await service_database("campaigns")).superuser_url)
    await superuser.execute("SELECT pg_terminate_backend($1, 5000)", raw.get_server_pid())
    await superuser.close()
    for _ in range(service.kernel.settings.database_pool_size + 1):
        assert (await service.client.get(PATH, headers=tenant.headers)).status_code == 200


# What cannot be hot -----------------------------------------------------------------------------------


def test_an_endpoint_that_takes_something_else_is_refused() -> None:
    other = tenant_router("/loot", "loot")

    async def choosy(wish: Annotated[str, Header()]) -> None: ...

    async def several(status: Annotated[list[str], Query()]) -> None: ...

    for endpoint in (choosy, several):
        with pytest.raises(TypeError, match="not for a hot route"):
            other.get("")(hot(endpoint))


# Which way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earlier", "path", "is_short"),
    [
        ("/loot/{thing_id}", "/loot/{thing_id}", False),
        ("/loot/new", "/loot/{thing_id}", False),
        ("/loot/{thing_id}", "/loot/new", False),
        ("/{thing_id}/new", "/loot/{thing_id}", False),
        ("/loot", "/loot/{thing_id}", True),
        ("/loot/{thing_id}/new", "/loot/{thing_id}", True),
        ("/boot/{thing_id}", "/loot/{thing_id}", True),
        ("/boot", "/loot/{thing_id}/new", False),
        ("/boot", "/loot/{thing_id}/{part_id}", False),
    ],
)
def test_nothing_is_taken_from_a_route_that_comes_first(earlier: str, path: str, is_short: bool) -> None:
    router, app = tenant_router("", "loot"), FastAPI()
    router.get(earlier)(_endpoint_of(earlier))
    router.get(path)(hot(_endpoint_of(path)))
    app.include_router(router)
    found, _ = HotRoutes(app).find("GET", f"/api/v1{path.format(thing_id='x', part_id='y')}")
    assert (found is not None) is is_short


def _endpoint_of(path: str) -> Callable[..., Awaitable[Response]]:
    """A new one, which takes what is in the path."""

    async def none() -> Response:
        return Response()

    async def one(thing_id: str) -> Response:
        return Response(thing_id)

    async def two(thing_id: str, part_id: str) -> Response:
        return Response(thing_id + part_id)

    endpoints = (none, one, two)
    return endpoints[path.count("{")]
