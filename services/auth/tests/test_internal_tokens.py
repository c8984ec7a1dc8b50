"""`/internal/tokens` takes the tenants service and nobody else."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from services.auth.tests.conftest import CAMPAIGNS_KEY, TENANTS_KEY, SignIn, token_request
from services.auth.tests.office import Office

from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, bearer
from common.web.service_tokens import make_service_token


def forged(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "tenants", "aud": "auth", "iat": now, "exp": now + 30, "jti": "x", **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, TENANTS_KEY[0], algorithm="ES256", headers={"typ": "service+jwt"})


async def test_the_owner_gets_a_session_with_the_address_of_the_sign_up(
    service: Harness, sign_in: SignIn, office: Office
) -> None:
    tenant = await service.make_tenant()
    answer = await sign_in(tenant)
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 900
    (row,) = await office.fetch("SELECT * FROM auth.sessions WHERE tenant_id = $1", tenant.tenant_id)
    assert (row["ip"], row["user_agent"]) == ("192.0.2.7", "Browser/1")
    (event,) = await office.emitted(tenant.tenant_id, "SessionStarted")
    assert event["session_id"] == to_text(Kind.SESSION, row["session_id"])
    assert event["meta"]["actor"] == {"type": "user", "id": to_text(Kind.USER, tenant.owner_id)}
    stored = await office.fetch("SELECT * FROM auth.refresh_tokens WHERE tenant_id = $1", tenant.tenant_id)
    assert answer["refresh_token"] not in str(stored)


OTHERS: dict[str, tuple[Callable[[], str], int]] = {
    "no token": (lambda: "nonsense", 401),
    "another's key": (lambda: make_service_token(CAMPAIGNS_KEY[0], "tenants", "auth"), 401),
    "another service": (lambda: make_service_token(CAMPAIGNS_KEY[0], "campaigns", "auth"), 403),
    "for another service": (lambda: make_service_token(TENANTS_KEY[0], "tenants", "workspaces"), 401),
    "unknown service": (lambda: make_service_token(TENANTS_KEY[0], "unknown", "auth"), 401),
    "valid too long": (lambda: forged(exp=int(time.time()) + 120), 401),
    "expired": (lambda: forged(exp=int(time.time()) - 60, iat=int(time.time()) - 90), 401),
    "without an id": (lambda: forged(jti=None), 401),
    "for several": (lambda: forged(aud=["auth"]), 401),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_other_callers_are_refused(service: Harness, name: str) -> None:
    make, status = OTHERS[name]
    tenant = await service.make_tenant()
    answer = await service.client.post(
        "/internal/tokens", headers=bearer(make()), json=token_request(tenant.tenant_id, tenant.owner_id)
    )
    assert answer.status_code == status


async def test_a_user_token_is_no_service_token(service: Harness) -> None:
    tenant = await service.make_tenant()
    answer = await service.client.post(
        "/internal/tokens", headers=tenant.headers, json=token_request(tenant.tenant_id, tenant.owner_id)
    )
    assert answer.status_code == 401


async def test_owners_only_and_of_their_own_tenant(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    headers = bearer(make_service_token(TENANTS_KEY[0], "tenants", "auth"))
    for tenant_id, user_id in ((tenant.tenant_id, other.owner_id), (new_id(), tenant.owner_id)):
        answer = await service.client.post(
            "/internal/tokens", headers=headers, json=token_request(tenant_id, user_id)
        )
        assert answer.status_code == 404
