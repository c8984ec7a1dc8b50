"""Campaigns over a real database: life, roles, versions, lists, events."""

import asyncio
from typing import Any

import httpx
import pytest

from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, MadeTenant, bearer

from .conftest import Events, add_workspace, archive_workspace, stable, workspace_text

PATH = "/api/v1/campaigns"


async def create(service: Harness, tenant: MadeTenant, **fields: Any) -> httpx.Response:
    body = {"workspace_id": workspace_text(tenant.workspace_id), "name": "Spring", **fields}
    return await service.client.post(PATH, headers=tenant.headers, json=body)


async def test_created_campaign_is_a_draft_and_can_be_read_back(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    made = await create(
        service, tenant, subject="Hi \U0001f427", from_name="Acme", from_email="News@Acme.example"
    )
    assert made.status_code == 201
    body = made.json()
    assert body["status"] == "draft"
    assert body["from_email"] == "news@acme.example"
    assert body["reply_to"] is None
    read = await service.client.get(made.headers["Location"], headers=tenant.headers)
    assert read.json() == body
    assert read.headers["ETag"] == made.headers["ETag"] == '"v1"'
    (event,) = await events(tenant.tenant_id, "CampaignCreated")
    assert event["campaign_id"] == body["campaign_id"]
    assert (event["name"], event["version"]) == ("Spring", 1)
    assert event["meta"]["actor"]["id"] == to_text(Kind.USER, tenant.owner_id)


async def test_update_changes_what_it_names_and_tells_which_fields(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant, subject="Old")
    path = made.headers["Location"]
    changed = await service.client.patch(path, headers=tenant.headers, json={"subject": None, "name": "New"})
    body = changed.json()
    assert (changed.status_code, body["name"], body["subject"]) == (200, "New", None)
    assert body["updated_at"] > made.json()["updated_at"]
    assert changed.headers["ETag"] == '"v2"'
    same = await service.client.patch(path, headers=tenant.headers, json={"name": "New"})
    assert same.headers["ETag"] == '"v2"'
    (event,) = await events(tenant.tenant_id, "CampaignUpdated")
    assert (event["fields"], event["version"]) == (["name", "subject"], 2)


async def test_deleted_campaign_is_gone(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    assert (await service.client.delete(path, headers=tenant.headers)).status_code == 204
    assert (await service.client.get(path, headers=tenant.headers)).status_code == 404
    assert (await service.client.delete(path, headers=tenant.headers)).status_code == 404
    (event,) = await events(tenant.tenant_id, "CampaignDeleted")
    assert event["version"] == 2


async def test_stale_etag_is_refused_and_changes_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant)
    path, headers = made.headers["Location"], {**tenant.headers, "If-Match": made.headers["ETag"]}
    answers = await asyncio.gather(
        *(service.client.patch(path, headers=headers, json={"name": f"Writer {n}"}) for n in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    assert (await service.client.delete(path, headers=headers)).status_code == 412
    assert (await service.client.get(path, headers=tenant.headers)).json()["name"].startswith("Writer")


async def test_fifty_parallel_creations_all_succeed(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(*(create(service, tenant, name=f"Campaign {n}") for n in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["campaign_id"] for answer in answers}) == 50
    assert len(await events(tenant.tenant_id, "CampaignCreated")) == 50


async def test_pages_are_complete_and_newest_first(service: Harness) -> None:
    tenant = await service.make_tenant()
    made = [(await create(service, tenant, name=f"Campaign {n}")).json()["campaign_id"] for n in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        answer = await service.client.get(PATH, headers=tenant.headers, params=params)
        seen += [item["campaign_id"] for item in answer.json()["data"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


async def test_cursor_of_another_tenant_is_refused(service: Harness) -> None:
    mine, theirs = await service.make_tenant(), await service.make_tenant()
    for tenant in (mine, mine, theirs):
        await create(service, tenant)
    first = await service.client.get(PATH, headers=mine.headers, params={"limit": "1"})
    carried = await service.client.get(
        PATH, headers=theirs.headers, params={"cursor": first.json()["next_cursor"]}
    )
    assert (carried.status_code, carried.json()["code"]) == (422, "invalid_cursor")


async def test_list_can_be_narrowed_to_a_workspace_and_a_status(service: Harness) -> None:
    tenant = await service.make_tenant()
    second = await add_workspace(service, tenant)
    await create(service, tenant)
    inside = await create(service, tenant, workspace_id=workspace_text(second))
    params = {"workspace_id": workspace_text(second), "status": "draft"}
    listed = await service.client.get(PATH, headers=tenant.headers, params=params)
    assert [item["campaign_id"] for item in listed.json()["data"]] == [inside.json()["campaign_id"]]
    params["status"] = "nonsense"
    assert (await service.client.get(PATH, headers=tenant.headers, params=params)).status_code == 422


@pytest.mark.parametrize(("role", "may_write"), [("viewer", False), ("member", True), ("admin", True)])
async def test_workspace_role_decides(service: Harness, role: str, may_write: bool) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant, workspaces={tenant.workspace_id: role})  # type: ignore[dict-item]
    headers = bearer(token)
    body = {"workspace_id": workspace_text(tenant.workspace_id), "name": "Mine"}
    codes = [
        (await service.client.get(path, headers=headers)).status_code,
        (await service.client.get(PATH, headers=headers)).status_code,
        (await service.client.post(PATH, headers=headers, json=body)).status_code,
        (await service.client.patch(path, headers=headers, json={"name": "Mine"})).status_code,
        (await service.client.delete(path, headers=headers)).status_code,
    ]
    assert codes == [200, 200, *([201, 200, 204] if may_write else [403] * 3)]


async def test_unassigned_member_meets_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant)
    headers = bearer(token)
    never = f"{PATH}/{to_text(Kind.CAMPAIGN, new_id())}"
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        hidden = await service.client.request(method, path, headers=headers, json=body)
        absent = await service.client.request(method, never, headers=headers, json=body)
        assert hidden.status_code == 404
        assert stable(hidden) == stable(absent)
    listed = await service.client.get(PATH, headers=headers)
    assert listed.json() == {"data": [], "next_cursor": None}
    body = {"workspace_id": workspace_text(tenant.workspace_id), "name": "x"}
    assert (await service.client.post(PATH, headers=headers, json=body)).status_code == 404


async def test_members_list_holds_assigned_workspaces_only(service: Harness) -> None:
    tenant = await service.make_tenant()
    second = await add_workspace(service, tenant)
    await create(service, tenant)
    inside = await create(service, tenant, workspace_id=workspace_text(second))
    _, token = await service.make_user(tenant, workspaces={second: "viewer"})
    listed = await service.client.get(PATH, headers=bearer(token))
    assert [item["campaign_id"] for item in listed.json()["data"]] == [inside.json()["campaign_id"]]
    other = {"workspace_id": workspace_text(tenant.workspace_id)}
    assert (await service.client.get(PATH, headers=bearer(token), params=other)).status_code == 404


async def test_archived_workspace_can_be_read_but_not_changed(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    await archive_workspace(service, tenant, tenant.workspace_id)
    assert (await service.client.get(path, headers=tenant.headers)).status_code == 200
    refused = await service.client.patch(path, headers=tenant.headers, json={"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_archived")
    assert (await create(service, tenant)).status_code == 409


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": None},
        {"name": "a\x00b"},
        {"name": "x" * 256},
        {"subject": "line\nBcc: victim@example.com"},
        {"from_name": "\x85"},
        {"from_email": "nobody"},
        {"from_email": "Ada <ada@example.com>"},
        {"reply_to": "a@example.com\r\nBcc: b@example.com"},
        {"status": "sent"},
        {"template_id": "list_01h455vb4pex5vsknk084sn02q"},
        {"list_id": "tmpl_01h455vb4pex5vsknk084sn02q"},
        {"segment_id": "tmpl_01h455vb4pex5vsknk084sn02q"},
        {"version": 7},
        {"workspace_id": "camp_01h455vb4pex5vsknk084sn02q"},
    ],
)
async def test_hostile_and_unknown_fields_are_refused(service: Harness, fields: dict[str, object]) -> None:
    tenant = await service.make_tenant()
    answer = await create(service, tenant, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(fields))}"


@pytest.mark.parametrize("path", [PATH, "/api/v1/contacts"])
@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        (None, b'{"name": "Spring"}', "send it with Content-Type: application/json"),
        ("application/x-www-form-urlencoded", b"{}", "send it with Content-Type: application/json"),
        ("application/json", b"[]", "must be a JSON object"),
        ("Application/JSON; charset=utf-8", b"7", "must be a JSON object"),
        ("application/json", b'{"name": x}', "is not valid JSON (character 10)"),
    ],
)
async def test_why_a_body_could_not_be_read_is_said_of_the_whole_body(
    service: Harness, path: str, content_type: str | None, body: bytes, message: str
) -> None:
    tenant = await service.make_tenant()
    headers = {**tenant.headers, **({"Content-Type": content_type} if content_type else {})}
    answer = await service.client.post(path, headers=headers, content=body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "", "message": message}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"name": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"name": 1e999}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"name": ' + b"9" * 5000 + b"}",
    ],
)
async def test_bodies_that_are_no_campaign_are_refused(service: Harness, body: bytes) -> None:
    tenant = await service.make_tenant()
    headers = {**tenant.headers, "Content-Type": "application/json"}
    answer = await service.client.post(PATH, headers=headers, content=body)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
