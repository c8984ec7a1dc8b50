"""Lists over a real database: life, names, roles, versions, events."""

import asyncio
from typing import Any

import httpx
import pytest

from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, MadeTenant, bearer

from .conftest import Events, add_workspace, archive_workspace, make, stable, workspace_text

PATH = "/api/v1/lists"


async def create(service: Harness, tenant: MadeTenant, **fields: Any) -> httpx.Response:
    body = {"workspace_id": workspace_text(tenant.workspace_id), "name": "Newsletter", **fields}
    return await service.client.post(PATH, headers=tenant.headers, json=body)


async def test_created_list_can_be_read_back(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant, name=" Newsl\u00ebtter \U0001f427 ")
    assert made.status_code == 201
    assert made.json()["name"] == "Newsl\u00ebtter \U0001f427"
    read = await service.client.get(made.headers["Location"], headers=tenant.headers)
    assert read.json() == made.json()
    assert read.headers["ETag"] == made.headers["ETag"] == '"v1"'
    (event,) = await events(tenant.tenant_id, "ListCreated")
    assert (event["list_id"], event["version"]) == (made.json()["list_id"], 1)


async def test_renamed_list_tells_what_changed(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    changed = await service.client.patch(path, headers=tenant.headers, json={"name": "Weekly"})
    same = await service.client.patch(path, headers=tenant.headers, json={"name": "Weekly"})
    nothing = await service.client.patch(path, headers=tenant.headers, json={})
    assert [answer.json()["name"] for answer in (changed, same, nothing)] == ["Weekly"] * 3
    assert [answer.headers["ETag"] for answer in (changed, same, nothing)] == ['"v2"'] * 3
    (event,) = await events(tenant.tenant_id, "ListUpdated")
    assert (event["fields"], event["version"]) == (["name"], 2)


async def test_deleted_list_is_gone_and_its_name_free(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    assert (await service.client.delete(path, headers=tenant.headers)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await service.client.request(method, path, headers=tenant.headers)).status_code == 404
    assert (await create(service, tenant)).status_code == 201
    (event,) = await events(tenant.tenant_id, "ListDeleted")
    assert event["version"] == 2


async def test_name_is_unique_within_a_workspace_only(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    second = await add_workspace(service, tenant)
    await create(service, tenant)
    again = await create(service, tenant)
    assert (again.status_code, again.json()["code"]) == (409, "list_exists")
    assert (await create(service, tenant, workspace_id=workspace_text(second))).status_code == 201
    assert (await create(service, other)).status_code == 201
    path = (await create(service, tenant, name="Weekly")).headers["Location"]
    renamed = await service.client.patch(path, headers=tenant.headers, json={"name": "Newsletter"})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "list_exists")


async def test_of_fifty_parallel_creations_one_wins(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(*(create(service, tenant) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    assert len(await events(tenant.tenant_id, "ListCreated")) == 1


async def test_stale_etag_is_refused(service: Harness) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant)
    path, headers = made.headers["Location"], {**tenant.headers, "If-Match": made.headers["ETag"]}
    first = await service.client.patch(path, headers=headers, json={"name": "One"})
    second = await service.client.patch(path, headers=headers, json={"name": "Two"})
    third = await service.client.delete(path, headers=headers)
    assert [answer.status_code for answer in (first, second, third)] == [200, 412, 412]


async def test_pages_are_complete_and_cursors_stay_in_their_list(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    made = [(await create(service, tenant, name=f"List {n}")).json()["list_id"] for n in range(5)]
    first = await service.client.get(PATH, headers=tenant.headers, params={"limit": "3"})
    cursor = {"cursor": first.json()["next_cursor"]}
    second = await service.client.get(PATH, headers=tenant.headers, params=cursor)
    seen = [item["list_id"] for answer in (first, second) for item in answer.json()["data"]]
    assert (seen, second.json()["next_cursor"]) == (made[::-1], None)
    for headers, path in ((other.headers, PATH), (tenant.headers, "/api/v1/contacts")):
        refused = await service.client.get(path, headers=headers, params=cursor)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(("role", "may_write"), [("viewer", False), ("member", True), ("admin", True)])
async def test_workspace_role_decides(service: Harness, role: str, may_write: bool) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    contact = await make(service, tenant, "/contacts", email="ada@example.com")
    _, token = await service.make_user(tenant, workspaces={tenant.workspace_id: role})  # type: ignore[dict-item]
    headers = bearer(token)
    body = {"workspace_id": workspace_text(tenant.workspace_id), "name": "Mine"}
    inside = f"{path}/contacts"
    codes = [
        (await service.client.get(path, headers=headers)).status_code,
        (await service.client.get(PATH, headers=headers)).status_code,
        (await service.client.get(inside, headers=headers)).status_code,
        (await service.client.post(PATH, headers=headers, json=body)).status_code,
        (await service.client.patch(path, headers=headers, json={"name": "Ours"})).status_code,
        (await service.client.post(inside, headers=headers, json={"contact_ids": [contact]})).status_code,
        (await service.client.delete(f"{inside}/{contact}", headers=headers)).status_code,
        (await service.client.delete(path, headers=headers)).status_code,
    ]
    assert codes == [200] * 3 + ([201, 200, 200, 204, 204] if may_write else [403] * 5)


async def test_unassigned_member_meets_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    hidden_id = (await create(service, tenant)).json()["list_id"]
    contact = await make(service, tenant, "/contacts", email="ada@example.com")
    _, token = await service.make_user(tenant)
    headers = bearer(token)
    asked: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("GET", "/contacts", None),
        ("POST", "/contacts", {"contact_ids": [contact]}),
        ("DELETE", f"/contacts/{contact}", None),
    ]
    for method, rest, body in asked:
        hidden, absent = [
            await service.client.request(method, f"{PATH}/{name}{rest}", headers=headers, json=body)
            for name in (hidden_id, to_text(Kind.LIST, new_id()))
        ]
        assert hidden.status_code == 404
        assert stable(hidden) == stable(absent)
    assert (await service.client.get(PATH, headers=headers)).json()["data"] == []


async def test_archived_workspace_can_be_read_but_not_changed(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    contact = await make(service, tenant, "/contacts", email="ada@example.com")
    await archive_workspace(service, tenant, tenant.workspace_id)
    assert (await service.client.get(f"{path}/contacts", headers=tenant.headers)).status_code == 200
    refused = [
        await service.client.patch(path, headers=tenant.headers, json={"name": "x"}),
        await service.client.post(
            f"{path}/contacts", headers=tenant.headers, json={"contact_ids": [contact]}
        ),
        await service.client.delete(path, headers=tenant.headers),
    ]
    assert [answer.json()["code"] for answer in refused] == ["workspace_archived"] * 3


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "  "},
        {"name": None},
        {"name": "a\x00b"},
        {"name": "a\nb"},
        {"name": "x" * 256},
        {"name": 7},
        {"tenant_id": "x"},
        {"version": 7},
        {"workspace_id": "list_01h455vb4pex5vsknk084sn02q"},
    ],
)
async def test_hostile_and_unknown_fields_are_refused(service: Harness, fields: dict[str, object]) -> None:
    tenant = await service.make_tenant()
    answer = await create(service, tenant, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(fields))}"


async def test_hostile_name_is_only_a_name(service: Harness) -> None:
    tenant = await service.make_tenant()
    name = "'; DROP TABLE campaigns.lists; -- <script>{{7*7}}</script> %s \\"
    assert (await create(service, tenant, name=name)).json()["name"] == name
