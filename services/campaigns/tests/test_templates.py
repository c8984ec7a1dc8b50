"""Templates over a real database: life, limits, names, roles, versions, events."""

import asyncio
from typing import Any

import httpx
import pytest

from common.contracts.workspaces import WorkspaceMemberDescribed
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, MadeTenant, bearer

from .conftest import Events, add_workspace, archive_workspace, stable, workspace_text

PATH = "/api/v1/templates"
HTML_BYTES, TEXT_BYTES = 512 * 1024, 256 * 1024


def body_for(tenant: MadeTenant, **fields: Any) -> dict[str, Any]:
    facts = {"name": "Welcome", "subject": "Hi", "html": "<p>Hi</p>"}
    return {"workspace_id": workspace_text(tenant.workspace_id), **facts, **fields}


async def create(service: Harness, tenant: MadeTenant, **fields: Any) -> httpx.Response:
    return await service.client.post(PATH, headers=tenant.headers, json=body_for(tenant, **fields))


async def test_created_template_can_be_read_back_as_it_was_given(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    html = " \t<p onclick='x()'>{{ name }} \u202e\U0001f427\x1b\x7f</p>\r\n<script>alert(1)</script>\n"
    made = await create(service, tenant, html=html, text="Hi\r\n\tthere")
    assert made.status_code == 201
    assert (made.json()["html"], made.json()["text"]) == (html, "Hi\r\n\tthere")
    read = await service.client.get(made.headers["Location"], headers=tenant.headers)
    assert read.json() == made.json()
    assert read.headers["ETag"] == made.headers["ETag"] == '"v1"'
    (event,) = await events(tenant.tenant_id, "TemplateCreated")
    assert (event["template_id"], event["version"]) == (made.json()["template_id"], 1)
    assert "script" not in str(event), "contents stay in the service"


async def test_lists_leave_the_contents_out(service: Harness) -> None:
    tenant = await service.make_tenant()
    made = (await create(service, tenant, text="Hi")).json()
    (listed,) = (await service.client.get(PATH, headers=tenant.headers)).json()["data"]
    assert set(made) - set(listed) == {"html", "text"}


async def test_update_changes_what_it_names(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant, text="Hi")).headers["Location"]
    body = {"html": "<p>Bye</p>", "text": None, "subject": "Bye"}
    changed = await service.client.patch(path, headers=tenant.headers, json=body)
    same = await service.client.patch(path, headers=tenant.headers, json=body)
    assert {name: changed.json()[name] for name in body} == body
    assert changed.json()["name"] == "Welcome"
    assert [answer.headers["ETag"] for answer in (changed, same)] == ['"v2"'] * 2
    (event,) = await events(tenant.tenant_id, "TemplateUpdated")
    assert event["fields"] == ["html", "subject", "text"]


async def test_deleted_template_is_gone_and_its_name_free(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    assert (await service.client.delete(path, headers=tenant.headers)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await service.client.request(method, path, headers=tenant.headers)).status_code == 404
    assert (await create(service, tenant)).status_code == 201
    (event,) = await events(tenant.tenant_id, "TemplateDeleted")
    assert event["version"] == 2


async def test_name_is_unique_within_a_workspace_only(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    second = await add_workspace(service, tenant)
    await create(service, tenant)
    again = await create(service, tenant)
    assert (again.status_code, again.json()["code"]) == (409, "template_exists")
    assert (await create(service, tenant, workspace_id=workspace_text(second))).status_code == 201
    assert (await create(service, other)).status_code == 201
    path = (await create(service, tenant, name="Bye")).headers["Location"]
    renamed = await service.client.patch(path, headers=tenant.headers, json={"name": "Welcome"})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "template_exists")


async def test_of_fifty_parallel_creations_one_wins(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(*(create(service, tenant) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    assert len(await events(tenant.tenant_id, "TemplateCreated")) == 1


async def test_the_same_request_delivered_twice_is_one(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    headers = {**tenant.headers, "Idempotency-Key": "once"}
    first, second = [
        await service.client.post(PATH, headers=headers, json=body_for(tenant)) for _ in range(2)
    ]
    assert (first.status_code, second.status_code, first.json()) == (201, 201, second.json())
    assert len(await events(tenant.tenant_id, "TemplateCreated")) == 1


async def test_a_stored_answer_is_for_who_may_still_ask(service: Harness) -> None:
    tenant = await service.make_tenant()
    user_id, token = await service.make_user(tenant, workspaces={tenant.workspace_id: "member"})
    facts = {"tenant_id": tenant.tenant_id, "workspace_id": tenant.workspace_id, "user_id": user_id}
    body, headers = body_for(tenant), {**bearer(token), "Idempotency-Key": "kept"}

    async def ask() -> tuple[int, bool]:
        answer = await service.client.post(PATH, headers=headers, json=body)
        return answer.status_code, "Idempotent-Replayed" in answer.headers

    assert [await ask(), await ask()] == [(201, False), (201, True)]
    for version, role, expected in (
        (2, "viewer", (403, False)),
        (3, None, (404, False)),
        (4, "admin", (201, True)),
    ):
        event = WorkspaceMemberDescribed(**facts, version=version, role=role)
        await service.handle(tenant.tenant_id, event)
        assert await ask() == expected


async def test_stale_etag_is_refused(service: Harness) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant)
    path, headers = made.headers["Location"], {**tenant.headers, "If-Match": made.headers["ETag"]}
    first = await service.client.patch(path, headers=headers, json={"subject": "One"})
    second = await service.client.patch(path, headers=headers, json={"subject": "Two"})
    third = await service.client.delete(path, headers=headers)
    assert [answer.status_code for answer in (first, second, third)] == [200, 412, 412]


async def test_pages_are_complete_and_cursors_stay_in_their_tenant(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    made = [(await create(service, tenant, name=f"No. {n}")).json()["template_id"] for n in range(5)]
    first = await service.client.get(PATH, headers=tenant.headers, params={"limit": "3"})
    cursor = {"cursor": first.json()["next_cursor"]}
    second = await service.client.get(PATH, headers=tenant.headers, params=cursor)
    seen = [item["template_id"] for answer in (first, second) for item in answer.json()["data"]]
    assert (seen, second.json()["next_cursor"]) == (made[::-1], None)
    carried = await service.client.get(PATH, headers=other.headers, params=cursor)
    assert (carried.status_code, carried.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(("role", "may_write"), [("viewer", False), ("member", True), ("admin", True)])
async def test_workspace_role_decides(service: Harness, role: str, may_write: bool) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant, workspaces={tenant.workspace_id: role})  # type: ignore[dict-item]
    headers, body = bearer(token), body_for(tenant, name="Mine")
    codes = [
        (await service.client.get(path, headers=headers)).status_code,
        (await service.client.get(PATH, headers=headers)).status_code,
        (await service.client.post(PATH, headers=headers, json=body)).status_code,
        (await service.client.patch(path, headers=headers, json={"subject": "Ours"})).status_code,
        (await service.client.delete(path, headers=headers)).status_code,
    ]
    assert codes == [200, 200, *([201, 200, 204] if may_write else [403] * 3)]


async def test_unassigned_member_meets_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant)
    headers = bearer(token)
    never = f"{PATH}/{to_text(Kind.TEMPLATE, new_id())}"
    for method, body in (("GET", None), ("PATCH", {"subject": "x"}), ("DELETE", None)):
        hidden = await service.client.request(method, path, headers=headers, json=body)
        absent = await service.client.request(method, never, headers=headers, json=body)
        assert hidden.status_code == 404
        assert stable(hidden) == stable(absent)
    assert (await service.client.get(PATH, headers=headers)).json()["data"] == []


async def test_archived_workspace_can_be_read_but_not_changed(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    await archive_workspace(service, tenant, tenant.workspace_id)
    assert (await service.client.get(path, headers=tenant.headers)).status_code == 200
    refused = await service.client.patch(path, headers=tenant.headers, json={"subject": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_archived")


async def test_contents_up_to_the_limits_are_taken(service: Harness) -> None:
    tenant = await service.make_tenant()
    fields = {"html": "\u00e4" * (HTML_BYTES // 2), "text": "x" * TEXT_BYTES}
    body = httpx.Request("POST", "http://x", json=body_for(tenant, **fields)).read()
    headers = {**tenant.headers, "Content-Type": "application/json"}
    made = await service.client.post(PATH, headers=headers, content=body)
    assert made.status_code == 201, made.text[:300]
    read = (await service.client.get(made.headers["Location"], headers=tenant.headers)).json()
    assert {name: read[name] for name in fields} == fields


@pytest.mark.parametrize(
    "fields",
    [
        {"html": "x" * (HTML_BYTES + 1)},
        {"html": "\u00e4" * (HTML_BYTES // 2) + "x"},
        {"text": "x" * (TEXT_BYTES + 1)},
        {"text": "\U0001f427" * (TEXT_BYTES // 4) + "x"},
        {"html": ""},
        {"html": None},
        {"html": 7},
        {"html": "a\x00b"},
        {"text": ""},
        {"text": "\x00"},
        {"subject": "Hi\r\nBcc: victim@example.com"},
        {"subject": ""},
        {"subject": "x" * 256},
        {"name": "a\x00b"},
        {"name": None},
        {"template_id": "tmpl_01h455vb4pex5vsknk084sn02q"},
        {"tenant_id": "x"},
        {"workspace_id": "tmpl_01h455vb4pex5vsknk084sn02q"},
    ],
    ids=lambda fields: f"{next(iter(fields))}-{str(next(iter(fields.values())))[:12]!a}",
)
async def test_hostile_and_unknown_fields_are_refused(service: Harness, fields: dict[str, object]) -> None:
    tenant = await service.make_tenant()
    answer = await create(service, tenant, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(fields))}"
    assert len(answer.content) < 2000, "what was refused is not sent back"


async def test_lone_surrogates_are_refused(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    headers = {**tenant.headers, "Content-Type": "application/json"}
    for field in (b"html", b"text", b"subject", b"name"):
        answer = await service.client.patch(path, headers=headers, content=b'{"%s": "\\ud800"}' % field)
        assert answer.status_code == 422


@pytest.mark.parametrize("field", ["name", "subject", "html"])
async def test_update_cannot_null_what_must_be_there(service: Harness, field: str) -> None:
    tenant = await service.make_tenant()
    path = (await create(service, tenant)).headers["Location"]
    answer = await service.client.patch(path, headers=tenant.headers, json={field: None})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")
