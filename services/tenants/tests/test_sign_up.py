"""The way of a sign-up request."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tenants.tests.world import PATH, Office, ScriptedAuth, sign_up_body

from common.ids import Kind, to_text
from common.testing.harness import Harness
from common.testing.minutes import within_a_minute
from tenants.parts import TenantsParts

KEY = "Idempotency-Key"


async def sign_up(
    service: Harness, office: Office, body: dict[str, Any] | None = None, key: str | None = None
) -> tuple[httpx.Response, UUID]:
    """Sign up while the other services do their part."""
    body = body or sign_up_body()
    headers = {KEY: key} if key else {}
    asking = asyncio.create_task(service.client.post(PATH, json=body, headers=headers))
    tenant_id = await office.play_others(body["owner_email"])
    return await asking, tenant_id


async def test_it_answers_with_ids_and_tokens_when_the_token_works(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    answer, tenant_id = await sign_up(service, office)
    body = answer.json()
    assert answer.status_code == 201
    assert body["tenant_id"] == to_text(Kind.TENANT, tenant_id)
    assert body["onboarding_url"] == f"/onboarding?tenant_id={body['tenant_id']}"
    assert (body["access_token"], body["token_type"], body["expires_in"]) == ("access-1", "Bearer", 900)
    assert answer.headers["Cache-Control"] == "no-store"
    ((asked_tenant, owner_id, request),) = auth.asked
    assert asked_tenant == tenant_id
    assert body["owner_user_id"] == to_text(Kind.USER, owner_id)
    assert request.ip == "127.0.0.1"
    (event,) = await office.emitted(tenant_id, "TenantProvisioned")
    assert event["default_workspace"]["workspace_id"] == body["default_workspace_id"]
    assert event["limits"]["max_workspaces"] == 3
    assert "access-1" not in str(await office.emitted(tenant_id))
    assert len(await office.emitted(tenant_id, "ActionRecorded")) == 1


async def test_past_its_patience_it_says_where_to_look(
    service: Harness, office: Office, auth: ScriptedAuth, patience: Callable[[float], None]
) -> None:
    patience(0.1)
    body, key = sign_up_body(), str(uuid4())
    for _ in range(2):
        late = await service.client.post(PATH, json=body, headers={KEY: key})
        assert late.status_code == 202
        assert late.headers["Retry-After"] == "2"
        assert "access_token" not in late.text
    status = await service.client.get(late.headers["Location"])
    assert status.status_code == 200
    assert status.json()["status"] == "running"
    assert "tenant_id" not in status.json()
    tenant_id = await office.play_others(body["owner_email"])
    status = await service.client.get(late.headers["Location"])
    assert status.json()["tenant_id"] == to_text(Kind.TENANT, tenant_id)
    assert "access" not in status.text
    patience(60)
    again = await service.client.post(PATH, json=body, headers={KEY: key})
    assert again.status_code == 201
    assert again.json()["access_token"] == "access-1"


async def test_status_urls_cannot_be_made_up(service: Harness, office: Office, auth: ScriptedAuth) -> None:
    _, tenant_id = await sign_up(service, office)
    for made_up in (to_text(Kind.TENANT, tenant_id), "x", "A" * 43, "%00"):
        assert (await service.client.get(f"{PATH}/provisioning/{made_up}")).status_code == 404


async def test_without_auth_it_is_202_and_works_later(
    service: Harness, office: Office, auth: ScriptedAuth, patience: Callable[[float], None]
) -> None:
    auth.away = True
    patience(0.1)
    body, key = sign_up_body(), str(uuid4())
    assert (await service.client.post(PATH, json=body, headers={KEY: key})).status_code == 202
    await office.play_others(body["owner_email"])
    assert (await service.client.post(PATH, json=body, headers={KEY: key})).status_code == 202
    auth.away = False
    patience(60)
    assert (await service.client.post(PATH, json=body, headers={KEY: key})).status_code == 201


async def test_one_key_is_one_tenant_however_many_ask(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    body, key = sign_up_body(), uuid4().hex
    asking = [
        asyncio.create_task(service.client.post(PATH, json=body, headers={KEY: key})) for _ in range(20)
    ]
    tenant_id = await office.play_others(body["owner_email"])
    answers = await asyncio.gather(*asking)
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["tenant_id"] for answer in answers} == {to_text(Kind.TENANT, tenant_id)}
    first = [answer for answer in answers if "Idempotent-Replayed" not in answer.headers]
    assert len(first) == 1
    assert len(await office.emitted(tenant_id, "TenantProvisioned")) == 1
    rows = await office.fetch(
        "SELECT tenant_id FROM tenants.provisionings WHERE owner_email = $1", body["owner_email"]
    )
    assert len(rows) == 1


async def test_a_key_belongs_to_its_body(service: Harness, office: Office, auth: ScriptedAuth) -> None:
    body, key = sign_up_body(), str(uuid4())
    await sign_up(service, office, body, key)
    other = await service.client.post(PATH, json={**body, "plan": "enterprise"}, headers={KEY: key})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_of_yesterday_is_free_again(service: Harness, office: Office, auth: ScriptedAuth) -> None:
    key = str(uuid4())
    _, first = await sign_up(service, office, None, key)
    await office.fetch(
        "UPDATE tenants.sign_up_keys SET created_at = now() - interval '25 hours' WHERE new_tenant_id = $1",
        first,
    )
    answer, second = await sign_up(service, office, None, key)
    assert answer.status_code == 201
    assert first != second


@pytest.mark.parametrize("key", ["short", "x" * 31, "", "x" * 256])
async def test_keys_that_could_be_guessed_are_refused(service: Harness, key: str) -> None:
    answer = await service.client.post(PATH, json=sign_up_body(), headers={KEY: key})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_repeated_sign_up_gets_fresh_tokens_for_a_while_only(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    body, key = sign_up_body(), str(uuid4())
    _, tenant_id = await sign_up(service, office, body, key)
    again = await service.client.post(PATH, json=body, headers={KEY: key})
    assert again.json()["access_token"] == "access-2"
    assert again.headers["Idempotent-Replayed"] == "true"
    auth.owner_logs_in = True
    with_password = await service.client.post(PATH, json=body, headers={KEY: key})
    auth.owner_logs_in = False
    await office.fetch(
        "UPDATE tenants.provisionings SET ready_at = now() - interval '16 minutes' WHERE tenant_id = $1",
        tenant_id,
    )
    later = await service.client.post(PATH, json=body, headers={KEY: key})
    for answer in (with_password, later):
        assert answer.status_code == 201
        assert answer.json().keys() == {
            "tenant_id",
            "owner_user_id",
            "default_workspace_id",
            "onboarding_url",
        }


async def test_no_table_holds_the_key_or_the_tokens(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    key = str(uuid4())
    answer, tenant_id = await sign_up(service, office, None, key)
    rows = await office.fetch("SELECT * FROM tenants.sign_up_keys WHERE new_tenant_id = $1", tenant_id)
    assert len(rows) == 1
    assert key not in str(rows)
    assert answer.json()["refresh_token"] not in str(rows)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"tenant_id": "tenant_x"}, "/tenant_id"),
        ({"plan": "gold"}, "/plan"),
        ({"owner_email": "nobody"}, "/owner_email"),
        ({"owner_email": "Olga <olga@acme.example>"}, "/owner_email"),
        ({"company_name": "a\nb"}, "/company_name"),
        ({"company_name": ""}, "/company_name"),
        ({"owner_name": "x" * 256}, "/owner_name"),
        ({"owner_name": None}, "/owner_name"),
    ],
)
async def test_unacceptable_sign_ups_say_why(service: Harness, changes: dict[str, Any], pointer: str) -> None:
    answer = await service.client.post(PATH, json=sign_up_body(**changes))
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_waiting_requests_hold_no_connection(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    """Three times as many wait as there are connections, and other requests are served."""
    bodies = [sign_up_body() for _ in range(30)]
    asking = [asyncio.create_task(service.client.post(PATH, json=body)) for body in bodies]
    tenants = await asyncio.gather(*(office.newest_tenant(body["owner_email"]) for body in bodies[:1]))
    assert tenants
    for body in bodies:
        await office.play_others(body["owner_email"])
    answers = await asyncio.gather(*asking)
    assert {answer.status_code for answer in answers} == {201}


@pytest.fixture
def strict(service: Harness) -> Iterator[None]:
    """Two sign-ups a minute."""
    state = service.client._transport.app._app.state  # type: ignore[attr-defined]
    parts: TenantsParts = state.parts
    settings = parts.settings.model_copy(update={"signup_rate_per_minute": 2})
    state.parts = replace(parts, settings=settings)
    yield
    state.parts = parts


@pytest.mark.usefixtures("strict")
@within_a_minute
async def test_an_address_signs_up_so_often_a_minute(service: Harness) -> None:
    """Whatever becomes of the attempts."""

    async def attempt(address: str) -> httpx.Response:
        headers = {"X-Forwarded-For": address}
        return await service.client.post(PATH, json={}, headers=headers)

    client, other = (str(IPv6Address(uuid4().int)) for _ in range(2))
    assert [(await attempt(client)).status_code for _ in range(3)] == [422, 422, 429]
    refused = await attempt(client)
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert (await attempt(other)).status_code == 422
