"""Refresh tokens are spent once; a copy that comes back ends the session."""

import asyncio

import httpx
import jwt
import pytest
from services.auth.tests.conftest import SignIn
from services.auth.tests.office import Office

from common.contracts.auth import SessionEnded
from common.ids import Kind, parse
from common.testing.harness import Harness, MadeTenant, bearer


@pytest.fixture
async def tenant(service: Harness) -> MadeTenant:
    return await service.make_tenant()


async def refresh(service: Harness, token: str) -> httpx.Response:
    return await service.client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


INVALID = (401, "invalid_refresh_token")


async def test_a_token_gives_a_new_pair_of_the_same_session(
    service: Harness, tenant: MadeTenant, sign_in: SignIn
) -> None:
    first = await sign_in(tenant)
    second = (await refresh(service, first["refresh_token"])).json()
    third = (await refresh(service, second["refresh_token"])).json()
    sessions = {
        jwt.decode(pair["access_token"], options={"verify_signature": False})["sid"]
        for pair in (first, second, third)
    }
    assert len(sessions) == 1
    me = await service.client.get("/api/v1/auth/me", headers=bearer(third["access_token"]))
    assert me.status_code == 200


async def test_parallel_use_has_one_successor(service: Harness, tenant: MadeTenant, sign_in: SignIn) -> None:
    token = (await sign_in(tenant))["refresh_token"]
    answers = await asyncio.gather(*(refresh(service, token) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    assert {answer.json().get("code") for answer in answers} == {None, "refresh_in_progress"}
    (good,) = [answer for answer in answers if answer.is_success]
    assert (await refresh(service, good.json()["refresh_token"])).status_code == 200


@pytest.mark.parametrize("late", [False, True], ids=["after the successor's use", "after the grace"])
async def test_reuse_ends_the_whole_family(
    service: Harness, office: Office, tenant: MadeTenant, sign_in: SignIn, late: bool
) -> None:
    other = await sign_in(tenant)
    first = await sign_in(tenant)
    second = (await refresh(service, first["refresh_token"])).json()
    last = second
    if late:
        await office.fetch(
            "UPDATE auth.refresh_tokens SET spent_at = spent_at - interval '11 s' WHERE tenant_id = $1",
            tenant.tenant_id,
        )
    else:
        last = (await refresh(service, second["refresh_token"])).json()
    assert refusal(await refresh(service, first["refresh_token"])) == INVALID
    assert refusal(await refresh(service, last["refresh_token"])) == INVALID
    (ended,) = await office.emitted(tenant.tenant_id, "SessionEnded")
    (reused,) = await office.emitted(tenant.tenant_id, "RefreshTokenReused")
    assert ended["session_id"] == reused["session_id"]
    del ended["type"]
    await service.handle(tenant.tenant_id, SessionEnded.model_validate(ended))
    me = await service.client.get("/api/v1/auth/me", headers=bearer(last["access_token"]))
    assert me.status_code == 401
    assert (await refresh(service, other["refresh_token"])).status_code == 200
    session_id = parse(Kind.SESSION, ended["session_id"])
    (row,) = await office.fetch("SELECT end_reason FROM auth.sessions WHERE session_id = $1", session_id)
    assert row["end_reason"] == "refresh_reuse"


async def test_events_of_a_session_count_its_changes(
    service: Harness, office: Office, tenant: MadeTenant, sign_in: SignIn
) -> None:
    pair = await sign_in(tenant)
    await refresh(service, pair["refresh_token"])
    other = await sign_in(tenant)
    for path in ("logout", "logout-all"):
        await service.client.post(f"/api/v1/auth/{path}", headers=bearer(pair["access_token"]))
    assert (
        await service.client.post("/api/v1/auth/logout-all", headers=bearer(other["access_token"]))
    ).is_success
    told = await office.emitted(tenant.tenant_id, "SessionStarted", "SessionRefreshed", "SessionEnded")
    first = [event for event in told if event["session_id"] == told[0]["session_id"]]
    assert [(event["type"], event["version"]) for event in first] == [
        ("SessionStarted", 1),
        ("SessionRefreshed", 2),
        ("SessionEnded", 3),
    ]
    versions = await office.fetch(
        "SELECT version FROM auth.sessions WHERE tenant_id = $1 ORDER BY session_id", tenant.tenant_id
    )
    assert [row["version"] for row in versions] == [3, 2], "also when all are ended at once"
    (user,) = await office.fetch("SELECT version FROM auth.users WHERE tenant_id = $1", tenant.tenant_id)
    (revoked,) = await office.emitted(tenant.tenant_id, "SessionsRevoked")
    assert revoked["version"] == user["version"] > 1


async def test_what_opens_nothing(
    service: Harness, office: Office, tenant: MadeTenant, sign_in: SignIn
) -> None:
    pair = await sign_in(tenant)
    token = pair["refresh_token"]
    last = "A" if token[-1] != "A" else "Q"
    for invented in ("x", token[:-1] + last, token[:40] + "AAAA" + token[44:]):
        assert refusal(await refresh(service, invented)) == INVALID
    await service.client.post("/api/v1/auth/logout", headers=bearer(pair["access_token"]))
    assert refusal(await refresh(service, token)) == INVALID
    expired = (await sign_in(tenant))["refresh_token"]
    await office.fetch(
        "UPDATE auth.refresh_tokens SET expires_at = now() WHERE tenant_id = $1", tenant.tenant_id
    )
    assert refusal(await refresh(service, expired)) == INVALID
    assert not await office.emitted(tenant.tenant_id, "RefreshTokenReused")


async def test_deactivated_users_get_nothing(
    service: Harness, office: Office, tenant: MadeTenant, sign_in: SignIn
) -> None:
    token = (await sign_in(tenant))["refresh_token"]
    await office.fetch("UPDATE auth.users SET status = 'deactivated' WHERE tenant_id = $1", tenant.tenant_id)
    assert refusal(await refresh(service, token)) == INVALID
