"""The cost of passwords is raised: accounts follow when they log in, and no time tells which there were."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from services.auth.tests.office import Office
from services.auth.tests.people import PASSWORD, give_password

from auth.parts import AuthParts
from auth.password import hashing
from auth.password.service import address_key
from common.contracts.tenants import Owner
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness

pytestmark = pytest.mark.usefixtures("dearer")
WRONG = "a walrus on a tricycle"


@pytest.fixture
def email() -> str:
    return f"{new_id().hex}@example.com"


async def account(service: Harness, office: Office, email: str) -> str:
    """An account from before; its tenant."""
    owner = Owner(user_id=new_id(), email=email, name="Olga Owner")
    made = await service.make_tenant(owner=owner)
    tenant = replace(made, owner_id=owner.user_id)
    await give_password(service, office, tenant, email)
    return to_text(Kind.TENANT, tenant.tenant_id)


async def log_in(service: Harness, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    body = {"email": email, "password": password, **more}
    return await service.client.post("/api/v1/auth/login", json=body)


async def passes(service: Harness, email: str) -> list[int]:
    """Those of each computation that a wrong guess brings about."""
    with patch.object(hashing, "hash_secret", wraps=hashing.hash_secret) as computed:
        assert (await log_in(service, email, WRONG)).status_code == 401
    return [call.args[2] for call in computed.call_args_list]


async def stored(office: Office, email: str) -> list[tuple[bool, int]]:
    """Of each account of the address: whether its hash is of the present cost, and its version."""
    rows = await office.fetch(
        "SELECT password_hash LIKE '%,t=4,%' AS raised, version FROM auth.users WHERE email = $1 ORDER BY 1",
        email,
    )
    return [(row["raised"], row["version"]) for row in rows]


async def noted(office: Office, parts: AuthParts, email: str) -> int:
    key = address_key(parts.settings.link_secret.get_secret_value(), email)
    rows = await office.fetch("SELECT time_cost FROM auth.address_salts WHERE address_key = $1", key)
    return int(rows[0]["time_cost"])


async def test_an_account_follows_when_it_logs_in(
    service: Harness, office: Office, dearer: AuthParts, email: str
) -> None:
    await account(service, office, email)
    assert await stored(office, email) == [(False, 1)]
    assert (await log_in(service, email)).status_code == 200
    assert await stored(office, email) == [(True, 1)], "and nobody has to be told"
    assert await noted(office, dearer, email) == 4
    assert (await log_in(service, email)).status_code == 200
    assert (await log_in(service, email, WRONG)).status_code == 401


async def test_accounts_of_one_address_follow_one_by_one(
    service: Harness, office: Office, dearer: AuthParts, email: str
) -> None:
    tenants = [await account(service, office, email) for _ in range(2)]
    for tenant_id, so_far in zip(tenants, ([False, True], [True, True]), strict=True):
        for _ in range(2):
            assert (await log_in(service, email, tenant_id=tenant_id)).status_code == 200
        assert [raised for raised, _ in await stored(office, email)] == so_far
        assert await noted(office, dearer, email) == 2, "another account of it may have that"
    assert (await log_in(service, email)).json()["code"] == "tenant_required"


async def test_every_log_in_computes_the_same_until_all_have_followed(
    service: Harness, office: Office, dearer: AuthParts, email: str
) -> None:
    followed, several = f"f{email}", f"s{email}"
    for address in (email, followed, several, several):
        await account(service, office, address)
    assert (await log_in(service, followed)).status_code == 200
    for address in (email, followed, several, f"x{email}"):
        assert await passes(service, address) == [4, 2], address
    await office.fetch("UPDATE auth.address_salts SET time_cost = 4 WHERE time_cost = 2")
    dearer.costs._old_at = 0.0
    for address in (email, followed, several, f"x{email}"):
        assert await passes(service, address) == [4], address
