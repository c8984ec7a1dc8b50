"""What a campaign sends and to whom: same workspace, kept while used; and what its state forbids."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from common.ids import Kind, new_id, parse, to_text
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant, bearer

from .conftest import Events, add_workspace, make, stable, workspace_text

PATH = "/api/v1/campaigns"
STATES = ("draft", "scheduled", "sending", "sent", "paused", "cancelled", "failed")
TEMPLATE = {"name": "Welcome", "subject": "Hi", "html": "<p>Hi</p>"}
PARTS = [
    pytest.param("template_id", "/templates", TEMPLATE, Kind.TEMPLATE, "template_in_use", id="template"),
    pytest.param("list_id", "/lists", {"name": "Newsletter"}, Kind.LIST, "list_in_use", id="list"),
]


async def create(service: Harness, tenant: MadeTenant, **fields: Any) -> httpx.Response:
    body = {"workspace_id": workspace_text(tenant.workspace_id), "name": "Spring", **fields}
    return await service.client.post(PATH, headers=tenant.headers, json=body)


async def move(service_database: Any, campaign_id: str, status: str) -> None:
    """Put a campaign into a state that no route leads to yet."""
    database: ServiceDatabase = await service_database("campaigns")
    connection = await asyncpg.connect(database.superuser_url)
    try:
        await connection.execute(
            "UPDATE campaigns.campaigns SET status = $2 WHERE campaign_id = $1",
            parse(Kind.CAMPAIGN, campaign_id),
            status,
        )
    finally:
        await connection.close()


@pytest.mark.parametrize(("field", "path", "body", "kind", "code"), PARTS)
async def test_campaign_names_what_it_uses(
    service: Harness, events: Events, field: str, path: str, body: dict[str, str], kind: Kind, code: str
) -> None:
    tenant = await service.make_tenant()
    used = await make(service, tenant, path, **body)
    made = await create(service, tenant, **{field: used})
    assert (made.status_code, made.json()[field]) == (201, used)
    where = made.headers["Location"]
    assert (await service.client.get(where, headers=tenant.headers)).json()[field] == used
    for value in (None, used):
        changed = await service.client.patch(where, headers=tenant.headers, json={field: value})
        assert (changed.status_code, changed.json()[field]) == (200, value)
    same = await service.client.patch(where, headers=tenant.headers, json={field: used})
    assert same.headers["ETag"] == '"v3"'
    told = [event["fields"] for event in await events(tenant.tenant_id, "CampaignUpdated")]
    assert told == [[field], [field]]


@pytest.mark.parametrize(("field", "path", "body", "kind", "code"), PARTS)
async def test_what_is_not_in_the_workspace_is_like_what_never_existed(
    service: Harness, events: Events, field: str, path: str, body: dict[str, str], kind: Kind, code: str
) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    second = await add_workspace(service, tenant)
    gone = await make(service, tenant, path, **body)
    await service.client.delete(f"/api/v1{path}/{gone}", headers=tenant.headers)
    wrong = [
        to_text(kind, new_id()),
        await make(service, other, path, **body),
        await make(service, tenant, path, **body, workspace_id=workspace_text(second)),
        gone,
    ]
    where = (await create(service, tenant)).headers["Location"]
    created = [await create(service, tenant, **{field: name}) for name in wrong]
    changed = [
        await service.client.patch(where, headers=tenant.headers, json={field: name, "name": "Changed"})
        for name in wrong
    ]
    for answers in (created, changed):
        assert [answer.status_code for answer in answers] == [404] * 4
        assert all(stable(answer) == stable(answers[0]) for answer in answers)
    missed = [event["target"] for event in await events(tenant.tenant_id, "AccessMissed")]
    assert missed == [{"type": field.removesuffix("_id"), "id": name} for name in wrong * 2]
    (listed,) = (await service.client.get(PATH, headers=tenant.headers)).json()["data"]
    assert (listed["name"], listed[field]) == ("Spring", None)


@pytest.mark.parametrize(("field", "path", "body", "kind", "code"), PARTS)
async def test_member_cannot_use_what_is_in_a_workspace_of_others(
    service: Harness, field: str, path: str, body: dict[str, str], kind: Kind, code: str
) -> None:
    tenant = await service.make_tenant()
    second = await add_workspace(service, tenant)
    hidden = await make(service, tenant, path, **body)
    _, token = await service.make_user(tenant, workspaces={second: "member"})
    answers = [
        await service.client.post(
            PATH,
            headers=bearer(token),
            json={"workspace_id": workspace_text(second), "name": "Mine", field: name},
        )
        for name in (hidden, to_text(kind, new_id()))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert stable(answers[0]) == stable(answers[1])


@pytest.mark.parametrize(("field", "path", "body", "kind", "code"), PARTS)
async def test_what_a_campaign_uses_cannot_be_deleted(
    service: Harness, events: Events, field: str, path: str, body: dict[str, str], kind: Kind, code: str
) -> None:
    tenant = await service.make_tenant()
    used = await make(service, tenant, path, **body)
    where = (await create(service, tenant, **{field: used})).headers["Location"]
    target = f"/api/v1{path}/{used}"
    refused = await service.client.delete(target, headers=tenant.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert used not in refused.text.replace(refused.json()["instance"], "")
    assert (await service.client.get(target, headers=tenant.headers)).status_code == 200
    assert await events(tenant.tenant_id, "TemplateDeleted") == []
    assert await events(tenant.tenant_id, "ListDeleted") == []
    assert (await service.client.delete(where, headers=tenant.headers)).status_code == 204
    assert (await service.client.delete(target, headers=tenant.headers)).status_code == 204


@pytest.mark.parametrize(("field", "path", "body", "kind", "code"), PARTS)
async def test_deleting_and_using_at_once_leaves_no_campaign_without_its_part(
    service: Harness, field: str, path: str, body: dict[str, str], kind: Kind, code: str
) -> None:
    tenant = await service.make_tenant()
    for _ in range(5):
        used = await make(service, tenant, path, **body)
        *created, deleted = await asyncio.gather(
            *(create(service, tenant, **{field: used}) for _ in range(5)),
            service.client.delete(f"/api/v1{path}/{used}", headers=tenant.headers),
        )
        codes = {answer.status_code for answer in created}
        assert codes == {404} if deleted.status_code == 204 else 201 in codes
        assert codes <= {201, 404}
        assert deleted.status_code in (204, 409)
        for answer in created:
            if answer.status_code == 201:
                await service.client.delete(answer.headers["Location"], headers=tenant.headers)
        await service.client.delete(f"/api/v1{path}/{used}", headers=tenant.headers)


async def test_list_can_be_narrowed_to_each_status(service: Harness, service_database: Any) -> None:
    tenant = await service.make_tenant()
    made = {state: (await create(service, tenant)).json()["campaign_id"] for state in STATES}
    for state, campaign_id in made.items():
        await move(service_database, campaign_id, state)
    for state, campaign_id in made.items():
        answer = await service.client.get(PATH, headers=tenant.headers, params={"status": state})
        assert [(c["campaign_id"], c["status"]) for c in answer.json()["data"]] == [(campaign_id, state)]
    everything = await service.client.get(PATH, headers=tenant.headers)
    assert len(everything.json()["data"]) == len(STATES)
    for wrong in ("nonsense", "", "DRAFT", "draft,sent"):
        refused = await service.client.get(PATH, headers=tenant.headers, params={"status": wrong})
        assert refused.status_code == 422


@pytest.mark.parametrize("state", STATES[1:])
async def test_only_drafts_are_changed_or_deleted(
    service: Harness, service_database: Any, events: Events, state: str
) -> None:
    tenant = await service.make_tenant()
    made = await create(service, tenant)
    where = made.headers["Location"]
    await move(service_database, made.json()["campaign_id"], state)
    refused = [
        await service.client.patch(where, headers=tenant.headers, json={"name": "Late"}),
        await service.client.delete(where, headers=tenant.headers),
    ]
    assert [(a.status_code, a.json()["code"]) for a in refused] == [(409, "campaign_not_draft")] * 2
    assert (await service.client.get(where, headers=tenant.headers)).json()["name"] == "Spring"
    for name in ("CampaignUpdated", "CampaignDeleted"):
        assert await events(tenant.tenant_id, name) == []
