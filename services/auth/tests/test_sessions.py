"""Sessions, and what their end makes of tokens."""

import asyncio
from typing import Any

import pytest
from services.auth.tests.conftest import SignIn
from services.auth.tests.office import Office

from auth.refresh import service as refresh_service
from common.contracts.auth import SessionEnded, SessionsRevoked
from common.contracts.tenants import TenantSuspended
from common.ids import Kind, new_id, to_text
from common.testing.harness import FEATURES, Harness, MadeTenant, bearer
from common.testing.minutes import within_a_minute

SESSIONS = "/api/v1/auth/sessions"


async def listed(service: Harness, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await service.client.get(SESSIONS, headers=headers)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def hear_of_ends(service: Harness, office: Office, tenant: MadeTenant) -> None:
    """Let the service hear of its own events, as the broker would bring them."""
    kinds = {"SessionEnded": SessionEnded, "SessionsRevoked": SessionsRevoked}
    for payload in await office.emitted(tenant.tenant_id, *kinds):
        name = payload.pop("type")
        await service.handle(tenant.tenant_id, kinds[name].model_validate(payload))


async def test_logging_out_ends_this_session_and_leaves_the_others_alone(
    service: Harness, office: Office, sign_in: SignIn
) -> None:
    tenant = await service.make_tenant()
    first, second = [bearer((await sign_in(tenant))["access_token"]) for _ in range(2)]
    assert len(await listed(service, first)) == 2
    for _ in range(2):
        assert (await service.client.post("/api/v1/auth/logout", headers=first)).status_code == 204
    assert len(await office.emitted(tenant.tenant_id, "SessionEnded")) == 1
    await hear_of_ends(service, office, tenant)
    assert (await service.client.get(SESSIONS, headers=first)).status_code == 401
    (left,) = await listed(service, second)
    assert left["current"] is True


async def test_logging_out_everywhere_ends_all_and_new_tokens_work_at_once(
    service: Harness, office: Office, sign_in: SignIn
) -> None:
    tenant = await service.make_tenant()
    tokens = [bearer((await sign_in(tenant))["access_token"]) for _ in range(3)]
    for _ in range(2):
        assert (await service.client.post("/api/v1/auth/logout-all", headers=tokens[0])).status_code == 204
    later = bearer((await sign_in(tenant))["access_token"])
    (event,) = await office.emitted(tenant.tenant_id, "SessionsRevoked")
    assert event["reason"] == "logout_all"
    await hear_of_ends(service, office, tenant)
    codes = [(await service.client.get(SESSIONS, headers=headers)).status_code for headers in tokens]
    assert codes == [401, 401, 401]
    assert len(await listed(service, later)) == 1


async def test_a_token_refreshed_meanwhile_ends_with_all_the_others(
    service: Harness, office: Office, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await service.make_tenant()
    lost, here = [await sign_in(tenant) for _ in range(2)]
    sign, signing, go_on = refresh_service.sign_access_token, asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any) -> str:
        signing.set()
        await go_on.wait()
        return await sign(*arguments)

    monkeypatch.setattr(refresh_service, "sign_access_token", slowly)
    body = {"refresh_token": lost["refresh_token"]}
    refreshing = asyncio.create_task(service.client.post("/api/v1/auth/refresh", json=body))
    await signing.wait()
    headers = bearer(here["access_token"])
    leaving = asyncio.create_task(service.client.post("/api/v1/auth/logout-all", headers=headers))
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%auth.sessions%'"
    async with asyncio.timeout(20):
        while not await office.fetch(waiting):  # noqa: ASYNC110 - another session's wait
            await asyncio.sleep(0.02)
    go_on.set()
    renewed = (await refreshing).json()
    assert (await leaving).status_code == 204
    (event,) = await office.emitted(tenant.tenant_id, "SessionsRevoked")
    del event["type"]
    await service.handle(tenant.tenant_id, SessionsRevoked.model_validate(event))
    answer = await service.client.get("/api/v1/auth/me", headers=bearer(renewed["access_token"]))
    assert answer.status_code == 401


async def test_leaving_twice_at_once_is_no_deadlock(service: Harness, sign_in: SignIn) -> None:
    tenant = await service.make_tenant()
    tokens = [bearer((await sign_in(tenant))["access_token"]) for _ in range(6)]
    answers = await asyncio.gather(
        *(service.client.post("/api/v1/auth/logout-all", headers=headers) for headers in tokens)
    )
    assert [answer.status_code for answer in answers] == [204] * 6


async def test_a_session_can_be_ended_by_its_user_only(
    service: Harness, office: Office, sign_in: SignIn
) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    mine, theirs = [bearer((await sign_in(one))["access_token"]) for one in (tenant, other)]
    (their_session,) = await listed(service, theirs)
    never = to_text(Kind.SESSION, new_id())
    foreign = await service.client.delete(f"{SESSIONS}/{their_session['session_id']}", headers=mine)
    unknown = await service.client.delete(f"{SESSIONS}/{never}", headers=mine)
    assert foreign.status_code == unknown.status_code == 404
    same = [answer.json() | {"instance": "", "trace_id": ""} for answer in (foreign, unknown)]
    assert same[0] == same[1]
    assert len(await listed(service, theirs)) == 1
    (my_session,) = await listed(service, mine)
    path = f"{SESSIONS}/{my_session['session_id']}"
    codes = [(await service.client.delete(path, headers=mine)).status_code for _ in range(2)]
    assert codes == [204, 204]
    assert len(await office.emitted(tenant.tenant_id, "SessionEnded")) == 1


async def test_a_session_that_is_not_stored_is_revoked_all_the_same(service: Harness, office: Office) -> None:
    tenant = await service.make_tenant()
    assert (await service.client.post("/api/v1/auth/logout", headers=tenant.headers)).status_code == 204
    await hear_of_ends(service, office, tenant)
    assert (await service.client.get(SESSIONS, headers=tenant.headers)).status_code == 401


async def test_a_suspended_tenants_member_can_look_at_the_account_and_log_out(service: Harness) -> None:
    tenant = await service.make_tenant()
    _, token = await service.make_user(tenant)
    elsewhere = bearer(token)
    suspended = TenantSuspended(tenant_id=tenant.tenant_id, version=2, reason="unpaid")
    await service.handle(tenant.tenant_id, suspended)
    assert (await service.client.get("/api/v1/auth/me", headers=tenant.headers)).status_code == 200
    assert (await service.client.get(SESSIONS, headers=elsewhere)).status_code == 200
    answer = await service.client.post("/api/v1/auth/logout", headers=tenant.headers)
    assert answer.status_code == 204


@within_a_minute
async def test_sessions_can_be_ended_however_much_the_tenant_has_asked(
    service: Harness, sign_in: SignIn
) -> None:
    tenant = await service.make_tenant(features=FEATURES.model_copy(update={"api_rate_limit": 1}))
    mine, other = [bearer((await sign_in(tenant))["access_token"]) for _ in range(2)]
    codes = [(await service.client.get(SESSIONS, headers=mine)).status_code for _ in range(2)]
    assert codes == [200, 429]
    for headers, path in ((mine, "logout"), (other, "logout-all")):
        answer = await service.client.post(f"/api/v1/auth/{path}", headers=headers)
        assert answer.status_code == 204
        assert answer.headers["RateLimit-Policy"] == '"session";q=1;w=60'
