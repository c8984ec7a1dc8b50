"""Rate limits as clients of a service meet them: exact, of one tenant alone, shown on every answer."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import event

from common import clock
from common.contracts.auth import UserDeactivated
from common.contracts.tenants import TenantFeaturesUpdated
from common.ids import Kind, new_id, to_text
from common.testing.harness import FEATURES, Harness, MadeTenant, bearer
from common.testing.minutes import within_a_minute
from workspaces.workspace import queries

Api = Callable[[str], Awaitable[Harness]]
PATH = "/api/v1/workspaces"
HEADERS = ("RateLimit", "RateLimit-Policy")


@pytest.fixture
async def service(api: Api) -> Harness:
    return await api("workspaces")


async def limited(service: Harness, limit: int) -> MadeTenant:
    return await service.make_tenant(features=FEATURES.model_copy(update={"api_rate_limit": limit}))


async def set_limit(service: Harness, tenant: MadeTenant, limit: int, version: int = 2) -> None:
    features = FEATURES.model_copy(update={"api_rate_limit": limit})
    news = TenantFeaturesUpdated(tenant_id=tenant.tenant_id, version=version, features=features)
    await service.handle(tenant.tenant_id, news)


async def ask(service: Harness, *tokens: str) -> list[httpx.Response]:
    """One request with each token, all at once."""
    return await asyncio.gather(*(service.client.get(PATH, headers=bearer(token)) for token in tokens))


async def exhausted(service: Harness, limit: int = 2) -> MadeTenant:
    """A tenant at its limit, until the minute ends."""
    tenant = await limited(service, limit)
    codes = [answer.status_code for answer in await ask(service, *[tenant.token] * (limit + 1))]
    assert sorted(codes) == [200] * limit + [429]
    return tenant


@within_a_minute
async def test_exactly_as_many_as_allowed_pass_fifty_parallel_ones(service: Harness) -> None:
    tenant = await limited(service, 20)
    _, colleague = await service.make_user(tenant)
    answers = await ask(service, *[tenant.token, colleague] * 25)
    (last,) = await ask(service, tenant.token)
    assert sorted(answer.status_code for answer in answers) == [200] * 20 + [429] * 30
    left = sorted(int(re.findall(r"r=(\d+)", a.headers["RateLimit"])[0]) for a in answers)
    assert left[:31] == [0] * 31
    assert last.status_code == 429
    assert last.headers["content-type"] == "application/problem+json"
    assert last.json()["code"] == "rate_limited"
    assert 1 <= int(last.headers["Retry-After"]) <= 60
    assert last.headers["RateLimit-Policy"] == '"tenant";q=20;w=60'
    assert last.headers["RateLimit"] == f'"tenant";r=0;t={last.headers["Retry-After"]}'


@within_a_minute
async def test_another_tenant_is_neither_counted_nor_seen(service: Harness) -> None:
    other = await limited(service, 7000)
    await exhausted(service)
    (answer,) = await ask(service, other.token)
    assert answer.status_code == 200
    assert answer.headers["RateLimit-Policy"] == '"tenant";q=7000;w=60'
    assert answer.headers["RateLimit"].startswith('"tenant";r=6999;t=')


@within_a_minute
async def test_naming_another_tenant_shows_the_callers_own_count(service: Harness) -> None:
    mine, theirs = await limited(service, 50), await limited(service, 7000)
    headers = {**mine.headers, "X-Tenant-ID": to_text(Kind.TENANT, theirs.tenant_id)}
    answer = await service.client.get(PATH, headers=headers)
    assert answer.status_code == 403
    assert answer.headers["RateLimit-Policy"] == '"tenant";q=50;w=60'
    (untouched,) = await ask(service, theirs.token)
    assert untouched.headers["RateLimit"].startswith('"tenant";r=6999;')


@within_a_minute
async def test_every_answer_to_an_accepted_token_shows_the_limit(
    service: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await service.make_tenant()
    keyed = {**tenant.headers, "Idempotency-Key": "the-same"}
    key = {"headers": keyed, "json": {"name": "Keyed"}}
    made = await service.client.post(PATH, **key)
    replayed = await service.client.post(PATH, **key)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    own = f"{PATH}/{to_text(Kind.WORKSPACE, tenant.workspace_id)}"
    never = f"{PATH}/{to_text(Kind.WORKSPACE, new_id())}"
    stale = {**tenant.headers, "If-Match": '"stale"'}
    _, member = await service.make_user(tenant)
    answers = {
        201: [made, replayed],
        403: [await service.client.post(PATH, headers=bearer(member), json={"name": "Mine"})],
        404: [await service.client.get(path, headers=tenant.headers) for path in (never, f"{PATH}/odd")],
        412: [await service.client.patch(own, headers=stale, json={"name": "Else"})],
        422: [await service.client.post(PATH, headers=tenant.headers, json={"surprise": 1})],
        413: [await service.client.post(PATH, headers=tenant.headers, content=b"x" * 2_000_000)],
    }
    with monkeypatch.context() as broken:
        broken.setattr(queries, "get_workspace", None)
        answers[500] = [await service.client.get(own, headers=tenant.headers)]
    for status, given in answers.items():
        for answer in given:
            assert answer.status_code == status, answer.text
            assert all(name in answer.headers for name in HEADERS), status
    left = [a.headers["RateLimit"].partition(";t=")[0] for a in (made, replayed)]
    assert left == ['"tenant";r=299', '"tenant";r=298'], "a replayed answer shows the count of now"


async def test_who_is_not_let_in_sees_no_limit(service: Harness) -> None:
    tenant = await service.make_tenant()
    user_id, token = await service.make_user(tenant)
    gone = UserDeactivated(tenant_id=tenant.tenant_id, user_id=user_id, version=2, at=clock.now())
    await service.handle(tenant.tenant_id, gone)
    for headers in ({}, bearer("garbage"), bearer(token)):
        answer = await service.client.get(PATH, headers=headers)
        assert answer.status_code == 401
        assert not any(name in answer.headers for name in HEADERS)


@within_a_minute
async def test_a_better_limit_is_known_within_a_second(service: Harness) -> None:
    tenant = await exhausted(service)
    await set_limit(service, tenant, 50)
    started = time.monotonic()
    while (answer := (await ask(service, tenant.token))[0]).status_code == 429:
        assert time.monotonic() - started < 1
    assert answer.headers["RateLimit"].startswith('"tenant";r=47;'), "what was used stays used"


@within_a_minute
async def test_a_worse_limit_is_known_after_one_more_request(service: Harness) -> None:
    tenant = await limited(service, 50)
    await ask(service, *[tenant.token] * 5)
    await set_limit(service, tenant, 3)
    assert [(await ask(service, tenant.token))[0].status_code for _ in range(3)] == [200, 429, 429]


@within_a_minute
async def test_refused_requests_ask_the_database_next_to_nothing(service: Harness) -> None:
    tenant = await exhausted(service)
    taken: list[object] = []
    pool = service.kernel.database._engine.sync_engine
    event.listen(pool, "checkout", lambda *row: taken.append(row))
    started = time.monotonic()
    answers = await ask(service, *[tenant.token] * 100)
    elapsed = time.monotonic() - started
    assert {answer.status_code for answer in answers} == {429}
    assert len(taken) <= 1 + elapsed / 0.5


async def test_a_process_that_never_met_the_tenant_asks_before_it_counts(service: Harness) -> None:
    """Else the first answer would show, and a shared count be judged by, another plan's limit."""
    tenant = await limited(service, 7000)
    service.kernel.rate_limiter._known.clear()
    answers = await ask(service, *[tenant.token] * 5)
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"tenant";q=7000;w=60'}
