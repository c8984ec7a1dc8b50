"""A token is only as good as what the database knows of its user now."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from common import clock
from common.contracts.auth import (
    SessionEnded,
    SessionsRevoked,
    UserDeactivated,
    UserRegistered,
    UserRoleChanged,
)
from common.contracts.tenants import TenantReactivated, TenantSuspended
from common.contracts.workspaces import WorkspaceCreated
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, bearer

PATH = "/api/v1/workspaces"


@pytest.fixture
async def service(api: Callable[[str], Awaitable[Harness]]) -> Harness:
    return await api("workspaces")


async def status(service: Harness, token: str) -> int:
    return (await service.client.get(PATH, headers=bearer(token))).status_code


async def test_a_demotion_acts_at_once_whatever_the_token_says(service: Harness) -> None:
    tenant = await service.make_tenant()
    user_id, token = await service.make_user(tenant, role="admin")
    made = await service.client.post(PATH, headers=bearer(token), json={"name": "One"})
    assert made.status_code == 201
    await service.handle(
        tenant.tenant_id,
        UserRoleChanged(
            tenant_id=tenant.tenant_id, user_id=user_id, version=2, role="member", previous_role="admin"
        ),
    )
    refused = await service.client.post(PATH, headers=bearer(token), json={"name": "Two"})
    assert refused.json()["code"] == "forbidden"


async def test_an_older_event_cannot_bring_a_role_back(service: Harness) -> None:
    tenant = await service.make_tenant()
    user_id, token = await service.make_user(tenant, role="admin")
    facts = {"tenant_id": tenant.tenant_id, "user_id": user_id}
    newer = UserRoleChanged(**facts, version=3, role="member", previous_role="admin")
    older = UserRoleChanged(**facts, version=2, role="admin", previous_role="member")
    for event in (newer, older):
        await service.handle(tenant.tenant_id, event)
    refused = await service.client.post(PATH, headers=bearer(token), json={"name": "Two"})
    assert refused.status_code == 403


async def test_a_deactivated_user_is_out(service: Harness) -> None:
    tenant = await service.make_tenant()
    user_id, token = await service.make_user(tenant, role="admin")
    assert await status(service, token) == 200
    event = UserDeactivated(tenant_id=tenant.tenant_id, user_id=user_id, version=2, at=clock.now())
    await service.handle(tenant.tenant_id, event)
    assert await status(service, token) == 401
    assert await status(service, tenant.token) == 200, "the others stay in"


async def test_ending_one_session_leaves_the_others_alone(service: Harness) -> None:
    tenant = await service.make_tenant()
    first, second = new_id(), new_id()
    tokens = [service.issuer.token(tenant.tenant_id, tenant.owner_id, session) for session in (first, second)]
    event = SessionEnded(
        tenant_id=tenant.tenant_id, session_id=first, version=2, user_id=tenant.owner_id, at=clock.now()
    )
    await service.handle(tenant.tenant_id, event)
    assert [await status(service, token) for token in tokens] == [401, 200]


async def test_revoking_all_sessions_refuses_older_tokens_only(service: Harness) -> None:
    tenant = await service.make_tenant()
    now = clock.now()
    event = SessionsRevoked(
        tenant_id=tenant.tenant_id, user_id=tenant.owner_id, version=2, before=now, reason="logout_all"
    )
    await service.handle(tenant.tenant_id, event)
    old = service.issuer.token(
        tenant.tenant_id, tenant.owner_id, iat=round((now - timedelta(milliseconds=5)).timestamp(), 3)
    )
    new = service.issuer.token(
        tenant.tenant_id, tenant.owner_id, iat=round((now + timedelta(milliseconds=5)).timestamp(), 3)
    )
    assert [await status(service, token) for token in (old, new)] == [401, 200]


async def test_a_suspended_tenant_reads_as_owner_and_writes_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    _, member = await service.make_user(tenant)
    suspended = TenantSuspended(tenant_id=tenant.tenant_id, version=2, reason="unpaid")
    await service.handle(tenant.tenant_id, suspended)
    assert await status(service, tenant.token) == 200
    refused = await service.client.post(PATH, headers=tenant.headers, json={"name": "X"})
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")
    assert await status(service, member) == 403
    await service.handle(tenant.tenant_id, TenantReactivated(tenant_id=tenant.tenant_id, version=3))
    assert (await service.client.post(PATH, headers=tenant.headers, json={"name": "X"})).status_code == 201


async def test_a_token_ahead_of_the_projection_waits_for_it(service: Harness) -> None:
    tenant = await service.make_tenant()
    user_id = new_id()
    token = service.issuer.token(tenant.tenant_id, user_id)
    waiting = asyncio.create_task(service.client.get(PATH, headers=bearer(token)))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done, "not refused before the projection had its chance"
    event = UserRegistered(
        tenant_id=tenant.tenant_id,
        user_id=user_id,
        version=1,
        email="n@example.com",
        name="New",
        role="member",
    )
    await service.handle(tenant.tenant_id, event)
    assert (await waiting).status_code == 200


async def test_a_token_whose_user_never_comes_is_503_and_not_401(service: Harness) -> None:
    answer = await service.client.get(PATH, headers=bearer(service.issuer.token(new_id(), new_id())))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


async def test_a_workspace_ahead_of_the_projection_is_waited_for(service: Harness) -> None:
    tenant = await service.make_tenant()
    workspace_id = new_id()
    path = f"{PATH}/{to_text(Kind.WORKSPACE, workspace_id)}/members"
    waiting = asyncio.create_task(service.client.get(path, headers=tenant.headers))
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done
    event = WorkspaceCreated(
        tenant_id=tenant.tenant_id,
        workspace_id=workspace_id,
        version=1,
        name="Late",
        slug="late",
        admin_id=tenant.owner_id,
    )
    await service.handle(tenant.tenant_id, event)
    assert (await waiting).status_code == 200


async def test_a_tenant_cannot_be_entered_with_the_token_of_another(service: Harness) -> None:
    """A forged combination that only a stolen signing key could make: B's user, A's tenant."""
    tenant, other = await service.make_tenant(), await service.make_tenant()
    mixed = service.issuer.token(tenant.tenant_id, other.owner_id)
    assert await status(service, mixed) == 503, "unknown here, and no row of either was shown"
