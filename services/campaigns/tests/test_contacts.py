"""Contacts over a real database: uniqueness, upsert, roles, versions, events."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from common.ids import Kind, new_id, to_text
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant, bearer

from .conftest import Events, add_workspace, stable, workspace_text

PATH = "/api/v1/contacts"


async def create(service: Harness, tenant: MadeTenant, path: str = PATH, **fields: Any) -> httpx.Response:
    body = {"workspace_id": workspace_text(tenant.workspace_id), "email": "ada@example.com", **fields}
    return await service.client.post(path, headers=tenant.headers, json=body)


async def test_created_contact_can_be_read_back(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    made = await create(
        service,
        tenant,
        email="Ada@Example.com",
        name="Ada",
        attributes={"city": "London", "orders": [1, 2.5, None, {"big": 2**70}]},
        tags=["vip", "beta"],
    )
    assert made.status_code == 201
    body = made.json()
    assert (body["email"], body["status"]) == ("ada@example.com", "subscribed")
    assert body["attributes"]["orders"] == [1, 2.5, None, {"big": 2**70}]
    read = await service.client.get(made.headers["Location"], headers=tenant.headers)
    assert read.json() == body
    (event,) = await events(tenant.tenant_id, "ContactCreated")
    assert event["contact_id"] == body["contact_id"]
    assert "ada@example.com" not in str(event), "addresses stay in the service"


async def test_address_is_unique_within_a_workspace_only(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    second = await add_workspace(service, tenant)
    assert (await create(service, tenant)).status_code == 201
    again = await create(service, tenant, email="ADA@EXAMPLE.COM")
    assert (again.status_code, again.json()["code"]) == (409, "contact_exists")
    assert (await create(service, tenant, workspace_id=workspace_text(second))).status_code == 201
    assert (await create(service, other)).status_code == 201


async def test_of_fifty_parallel_creations_one_wins(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(*(create(service, tenant) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    assert len(await events(tenant.tenant_id, "ContactCreated")) == 1


async def test_fifty_parallel_creations_of_different_contacts_all_succeed(service: Harness) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(*(create(service, tenant, email=f"ada{n}@example.com") for n in range(50)))
    assert {answer.status_code for answer in answers} == {201}


async def test_update_to_a_taken_address_is_refused(service: Harness) -> None:
    tenant = await service.make_tenant()
    await create(service, tenant)
    second = await create(service, tenant, email="bob@example.com")
    answer = await service.client.patch(
        second.headers["Location"], headers=tenant.headers, json={"email": "Ada@example.com"}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "contact_exists")


async def test_update_replaces_what_it_names(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant, name="Ada", attributes={"a": 1}, tags=["x"])
    path = made.headers["Location"]
    body = {"name": None, "attributes": {"b": 2}, "tags": [], "status": "unsubscribed"}
    changed = await service.client.patch(path, headers=tenant.headers, json=body)
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in body} == body
    assert changed.json()["email"] == "ada@example.com"
    (event,) = await events(tenant.tenant_id, "ContactUpdated")
    assert event["fields"] == ["attributes", "name", "status", "tags"]
    listed = await service.client.get(PATH, headers=tenant.headers, params={"status": "subscribed"})
    assert listed.json()["data"] == []


async def test_bounced_contact_is_not_subscribed_by_hand(service: Harness, service_database: Any) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant)
    database: ServiceDatabase = await service_database("campaigns")
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute(
        "UPDATE campaigns.contacts SET status = 'bounced' WHERE tenant_id = $1", tenant.tenant_id
    )
    await connection.close()
    answer = await service.client.patch(
        made.headers["Location"], headers=tenant.headers, json={"status": "subscribed"}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "contact_undeliverable")


async def test_upsert_creates_then_changes_and_keeps_what_is_left_out(
    service: Harness, events: Events
) -> None:
    tenant = await service.make_tenant()
    first = await create(service, tenant, f"{PATH}/upsert", name="Ada", tags=["x"])
    second = await create(service, tenant, f"{PATH}/upsert", email="ADA@example.com", name="Ada L")
    third = await create(service, tenant, f"{PATH}/upsert", name="Ada L")
    assert [answer.status_code for answer in (first, second, third)] == [201, 200, 200]
    assert first.json()["contact_id"] == second.json()["contact_id"]
    assert (second.json()["name"], second.json()["tags"]) == ("Ada L", ["x"])
    assert [answer.headers["ETag"] for answer in (first, second, third)] == ['"v1"', '"v2"', '"v2"']
    assert "Location" in first.headers
    assert len(await events(tenant.tenant_id, "ContactCreated")) == 1
    assert [event["fields"] for event in await events(tenant.tenant_id, "ContactUpdated")] == [["name"]]


async def test_parallel_upserts_make_one_contact_and_lose_no_change(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(
        *(create(service, tenant, f"{PATH}/upsert", name=f"Ada {n}") for n in range(50))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["contact_id"] for answer in answers}) == 1
    versions = [event["version"] for event in await events(tenant.tenant_id, "ContactUpdated")]
    assert versions == list(range(2, 51)), "in the outbox in the order of commits"


async def test_deleted_contact_is_gone_and_its_address_free(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    assert (await service.client.delete(path, headers=tenant.headers)).status_code == 204
    assert (await service.client.get(path, headers=tenant.headers)).status_code == 404
    assert (await create(service, tenant)).status_code == 201
    (event,) = await events(tenant.tenant_id, "ContactDeleted")
    assert event["version"] == 2


async def test_stale_etag_is_refused(service: Harness) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant)
    path, headers = made.headers["Location"], {**tenant.headers, "If-Match": made.headers["ETag"]}
    first = await service.client.patch(path, headers=headers, json={"name": "One"})
    second = await service.client.patch(path, headers=headers, json={"name": "Two"})
    third = await service.client.delete(path, headers=headers)
    assert [answer.status_code for answer in (first, second, third)] == [200, 412, 412]


@pytest.mark.parametrize(("role", "may_write"), [("viewer", False), ("member", True), ("admin", True)])
async def test_workspace_role_decides(service: Harness, role: str, may_write: bool) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant, workspaces={tenant.workspace_id: role})  # type: ignore[dict-item]
    headers = bearer(token)
    body = {"workspace_id": workspace_text(tenant.workspace_id), "email": "bob@example.com"}
    codes = [
        (await service.client.get(path, headers=headers)).status_code,
        (await service.client.get(PATH, headers=headers)).status_code,
        (await service.client.post(PATH, headers=headers, json=body)).status_code,
        (await service.client.post(f"{PATH}/upsert", headers=headers, json=body)).status_code,
        (await service.client.patch(path, headers=headers, json={"name": "Mine"})).status_code,
        (await service.client.delete(path, headers=headers)).status_code,
    ]
    assert codes == [200, 200, *([201, 200, 200, 204] if may_write else [403] * 4)]


async def test_unassigned_member_meets_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant)
    headers = bearer(token)
    never = f"{PATH}/{to_text(Kind.CONTACT, new_id())}"
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        hidden = await service.client.request(method, path, headers=headers, json=body)
        absent = await service.client.request(method, never, headers=headers, json=body)
        assert hidden.status_code == 404
        assert stable(hidden) == stable(absent)
    assert (await service.client.get(PATH, headers=headers)).json()["data"] == []
