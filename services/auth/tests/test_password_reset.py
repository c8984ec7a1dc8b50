"""The link of the welcome mail sets a password once, and only for its own account."""

import asyncio
import re
from typing import Any

import pytest
from argon2 import PasswordHasher
from services.auth.tests.conftest import TENANTS_KEY, SignIn, token_request
from services.auth.tests.office import Office, ScriptedServer, deliver_until

from auth.mail.worker import Postman
from common.contracts.tenants import Owner
from common.ids import new_id
from common.testing.harness import Harness, MadeTenant, bearer
from common.web.service_tokens import make_service_token

PATH = "/api/v1/auth/password/reset"
PASSWORD = "a walrus on a bicycle"


@pytest.fixture
async def tenant(service: Harness, postman: Postman) -> MadeTenant:
    return await service.make_tenant("Acme Rockets")


@pytest.fixture
async def token(tenant: MadeTenant, postman: Postman, mail_server: ScriptedServer) -> str:
    """The secret of the tenant's welcome mail."""
    await deliver_until(postman, lambda: bool(mail_server.taken))
    body = mail_server.taken[0][0].get_body(("plain",))
    assert body is not None
    found = re.search(r"\?token=([A-Za-z0-9_.-]+)", body.get_content())
    assert found is not None
    return found[1]


async def reset(service: Harness, token: str, password: str = PASSWORD) -> tuple[int, Any]:
    answer = await service.client.post(PATH, json={"token": token, "password": password})
    return answer.status_code, answer.json()["code"] if answer.content else None


async def test_it_works_once_and_ends_what_was_before(
    service: Harness, office: Office, tenant: MadeTenant, token: str, sign_in: SignIn
) -> None:
    await sign_in(tenant)
    assert await reset(service, token) == (204, None)
    assert await reset(service, token) == (410, "token_used_or_expired")
    (user,) = await office.fetch("SELECT * FROM auth.users WHERE tenant_id = $1", tenant.tenant_id)
    assert PasswordHasher().verify(user["password_hash"], PASSWORD)
    assert user["email_verified_at"] is not None
    changed, revoked = await office.emitted(tenant.tenant_id, "PasswordChanged", "SessionsRevoked")
    assert (changed["first"], revoked["reason"]) == (True, "password_changed")
    assert changed["version"] < revoked["version"]
    assert PASSWORD not in str(await office.emitted(tenant.tenant_id))
    (open_sessions,) = await office.fetch(
        "SELECT count(*) FROM auth.sessions WHERE tenant_id = $1 AND ended_at IS NULL", tenant.tenant_id
    )
    assert open_sessions["count"] == 0


async def test_afterwards_sign_up_gets_no_tokens(service: Harness, tenant: MadeTenant, token: str) -> None:
    await reset(service, token)
    answer = await service.client.post(
        "/internal/tokens",
        headers=bearer(make_service_token(TENANTS_KEY[0], "tenants", "auth")),
        json=token_request(tenant.tenant_id, tenant.owner_id),
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "sign_up_over")


async def test_of_parallel_uses_one_wins(service: Harness, token: str) -> None:
    answers = await asyncio.gather(*(reset(service, token, f"{PASSWORD} no. {n}") for n in range(6)))
    assert sorted(status for status, _ in answers) == [204, *[410] * 5]


async def test_a_refused_password_does_not_use_the_link_up(service: Harness, token: str) -> None:
    for weak, code in (
        ("fourteen chars", "validation_failed"),
        ("x" * 129, "validation_failed"),
        ("qwertyuiop1234567", "weak_password"),
        ("Acme Rockets are best", "weak_password"),
    ):
        assert await reset(service, token, weak) == (422, code)
    assert await reset(service, token) == (204, None)


async def test_an_expired_or_invented_link_is_gone(
    service: Harness, office: Office, tenant: MadeTenant, token: str
) -> None:
    last = "A" if token[-1] != "A" else "Q"
    for invented in (token[:-1] + last, "x", token + ".", token[:40] + "AAAA" + token[44:]):
        assert await reset(service, invented) == (410, "token_used_or_expired")
    await office.fetch(
        "UPDATE auth.password_tokens SET expires_at = now() WHERE tenant_id = $1", tenant.tenant_id
    )
    assert await reset(service, token) == (410, "token_used_or_expired")


async def test_two_accounts_of_one_address_share_salt_and_nothing_else(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    address = f"{new_id().hex}@example.com"
    tenants = [
        await service.make_tenant(owner=Owner(user_id=new_id(), email=address, name="Olga")) for _ in range(2)
    ]
    await deliver_until(postman, lambda: len(mail_server.taken) == 2)
    for message, _, _ in mail_server.taken:
        body = message.get_body(("plain",))
        assert body is not None
        found = re.search(r"\?token=([A-Za-z0-9_.-]+)", body.get_content())
        assert found is not None
        assert (await reset(service, found[1]))[0] == 204
    hashes = [
        (await office.fetch("SELECT password_hash FROM auth.users WHERE tenant_id = $1", one.tenant_id))[0][0]
        for one in tenants
    ]
    assert hashes[0] == hashes[1], "one computation at login serves both"
    rows = await office.fetch("SELECT address_key FROM auth.address_salts")
    assert address not in str(rows)
