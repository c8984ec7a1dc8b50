"""Invited users work in their workspaces from the start."""

from collections.abc import Awaitable, Callable

from common.contracts.auth import FirstMembership, UserRegistered
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness


async def test_memberships_of_a_new_user_are_stored_once(api: Callable[[str], Awaitable[Harness]]) -> None:
    service = await api("workspaces")
    tenant, foreign = await service.make_tenant(), await service.make_tenant()
    user_id = new_id()
    event = UserRegistered(
        tenant_id=tenant.tenant_id,
        user_id=user_id,
        version=1,
        email="ida@example.com",
        name="Ida",
        role="member",
        memberships=tuple(
            FirstMembership(workspace_id=one, role="viewer")
            for one in (tenant.workspace_id, new_id(), foreign.workspace_id)
        ),
    )
    for _ in range(2):
        await service.handle(tenant.tenant_id, event)
    workspace = to_text(Kind.WORKSPACE, tenant.workspace_id)
    listed = await service.client.get(f"/api/v1/workspaces/{workspace}/members", headers=tenant.headers)
    members = {one["user_id"]: one["role"] for one in listed.json()["data"]}
    owner = to_text(Kind.USER, tenant.owner_id)
    assert members == {owner: "admin", to_text(Kind.USER, user_id): "viewer"}
