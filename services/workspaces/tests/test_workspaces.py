"""Workspaces over a real database: limits, roles, slugs, versions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from common.contracts.tenants import TenantLimitsUpdated
from common.ids import Kind, new_id, to_text
from common.testing.harness import LIMITS, Harness, bearer

Api = Callable[[str], Awaitable[Harness]]


@pytest.fixture
async def service(api: Api) -> Harness:
    return await api("workspaces")


async def test_creator_becomes_admin_and_may_read_it_back(service: Harness) -> None:
    tenant = await service.make_tenant()
    answer = await service.client.post(
        "/api/v1/workspaces", headers=tenant.headers, json={"name": "Zoë & Co"}
    )
    assert answer.status_code == 201
    body = answer.json()
    assert body["slug"] == "zoe-co"
    assert body["members"] == [{"user_id": to_text(Kind.USER, tenant.owner_id), "role": "admin"}]
    listed = await service.client.get("/api/v1/workspaces", headers=tenant.headers)
    assert listed.json()["data"][0]["workspace_id"] == body["workspace_id"]


async def test_limit_is_exact_under_fifty_parallel_creations(service: Harness) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(
        *(
            service.client.post("/api/v1/workspaces", headers=tenant.headers, json={"name": f"Space {n}"})
            for n in range(50)
        )
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * 2 + [403] * 48, "the default workspace counts against the three of the plan"
    refused = next(answer.json() for answer in answers if answer.status_code == 403)
    assert refused["code"] == "limit_exceeded"
    assert "3 of 3" in refused["detail"]
    assert (refused["limit"], refused["current"], refused["maximum"]) == ("max_workspaces", 3, 3)


async def test_an_overridden_limit_holds_from_its_event_on(service: Harness) -> None:
    tenant = await service.make_tenant()

    async def create(name: str) -> dict[str, Any]:
        answer = await service.client.post("/api/v1/workspaces", headers=tenant.headers, json={"name": name})
        body: dict[str, Any] = answer.json()
        return body

    for n in range(2):
        assert "workspace_id" in await create(f"Space {n}")
    for version, maximum in ((2, 4), (3, 2)):
        limits = LIMITS.model_copy(update={"max_workspaces": maximum})
        event = TenantLimitsUpdated(tenant_id=tenant.tenant_id, version=version, limits=limits)
        await service.handle(tenant.tenant_id, event)
        made, refused = await create(f"Further {version}"), await create("One too many")
        assert ("workspace_id" in made) == (maximum == 4)
        assert (refused["code"], refused["current"], refused["maximum"]) == ("limit_exceeded", 4, maximum)


async def test_slug_is_unique_within_a_tenant_only(service: Harness) -> None:
    first, second = await service.make_tenant(), await service.make_tenant()
    body = {"name": "Launch", "slug": "launch"}
    codes = [
        (await service.client.post("/api/v1/workspaces", headers=tenant.headers, json=body)).status_code
        for tenant in (first, first, second)
    ]
    assert codes == [201, 409, 201]


async def test_members_see_assigned_workspaces_only_and_cannot_create(service: Harness) -> None:
    tenant = await service.make_tenant()
    _, token = await service.make_user(tenant)
    listed = await service.client.get("/api/v1/workspaces", headers=bearer(token))
    assert listed.json()["data"] == []
    hidden = await service.client.get(
        f"/api/v1/workspaces/{to_text(Kind.WORKSPACE, tenant.workspace_id)}", headers=bearer(token)
    )
    never = await service.client.get(
        f"/api/v1/workspaces/{to_text(Kind.WORKSPACE, new_id())}", headers=bearer(token)
    )
    assert (hidden.status_code, never.status_code) == (404, 404)
    made = await service.client.post("/api/v1/workspaces", headers=bearer(token), json={"name": "Mine"})
    assert made.json()["code"] == "forbidden"


async def test_stale_etag_is_refused_and_changes_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = f"/api/v1/workspaces/{to_text(Kind.WORKSPACE, tenant.workspace_id)}"
    etag = (await service.client.get(path, headers=tenant.headers)).headers["ETag"]
    headers = {**tenant.headers, "If-Match": etag}
    first = await service.client.patch(path, headers=headers, json={"name": "One"})
    second = await service.client.patch(path, headers=headers, json={"name": "Two"})
    assert (first.status_code, second.status_code) == (200, 412)
    assert (await service.client.get(path, headers=tenant.headers)).json()["name"] == "One"


async def test_member_of_another_tenant_is_like_one_that_never_existed(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    path = f"/api/v1/workspaces/{to_text(Kind.WORKSPACE, tenant.workspace_id)}/members"
    answers = [
        await service.client.post(
            path, headers=tenant.headers, json={"user_id": to_text(Kind.USER, user), "role": "viewer"}
        )
        for user in (other.owner_id, new_id())
    ]
    stable = [{k: v for k, v in answer.json().items() if k != "trace_id"} for answer in answers]
    assert stable[0] == stable[1]
    assert answers[0].status_code == 404


async def test_membership_can_end_and_begin_again(service: Harness) -> None:
    tenant = await service.make_tenant()
    user_id, _ = await service.make_user(tenant)
    path = f"/api/v1/workspaces/{to_text(Kind.WORKSPACE, tenant.workspace_id)}/members"
    body = {"user_id": to_text(Kind.USER, user_id), "role": "viewer"}
    codes: list[int] = []
    for _ in range(2):
        codes.append((await service.client.post(path, headers=tenant.headers, json=body)).status_code)
        codes.append((await service.client.post(path, headers=tenant.headers, json=body)).status_code)
        answer = await service.client.delete(f"{path}/{body['user_id']}", headers=tenant.headers)
        codes.append(answer.status_code)
    assert codes == [201, 409, 204] * 2


@pytest.mark.parametrize("text", ["", "a\x00b", "line\nbreak", "x" * 256, "   "])
async def test_hostile_names_are_refused(service: Harness, text: str) -> None:
    tenant = await service.make_tenant()
    answer = await service.client.post("/api/v1/workspaces", headers=tenant.headers, json={"name": text})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/name"
