"""Two tenants: what one makes does not exist for the other."""

import asyncio

import pytest

from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, MadeTenant

from .conftest import Events, stable, workspace_text

TEMPLATE = {"name": "Welcome", "subject": "Hi", "html": "<p>Hi</p>"}
LEFT_OUT_OF_LISTS = ("html", "text", "records")
UNCHANGEABLE = ("/api/v1/domains",)
RESOURCES = [
    pytest.param("/api/v1/campaigns", {"name": "Spring"}, Kind.CAMPAIGN, id="campaigns"),
    pytest.param("/api/v1/contacts", {"email": "ada@example.com"}, Kind.CONTACT, id="contacts"),
    pytest.param("/api/v1/lists", {"name": "Newsletter"}, Kind.LIST, id="lists"),
    pytest.param("/api/v1/templates", TEMPLATE, Kind.TEMPLATE, id="templates"),
    pytest.param("/api/v1/domains", {"domain": "acme.example"}, Kind.DOMAIN, id="domains"),
]


@pytest.fixture
async def tenants(service: Harness) -> tuple[MadeTenant, MadeTenant]:
    return await service.make_tenant("Owner Ltd"), await service.make_tenant("Stranger Ltd")


@pytest.mark.parametrize(("path", "fields", "kind"), RESOURCES)
async def test_foreign_id_is_like_one_that_never_existed(
    service: Harness,
    tenants: tuple[MadeTenant, MadeTenant],
    events: Events,
    path: str,
    fields: dict[str, str],
    kind: Kind,
) -> None:
    owner, stranger = tenants
    body = {"workspace_id": workspace_text(owner.workspace_id), **fields}
    foreign = (await service.client.post(path, headers=owner.headers, json=body)).headers["Location"]
    never = f"{path}/{to_text(kind, new_id())}"
    requests = [("GET", None), ("PATCH", {"name": "Taken"}), ("DELETE", None)]
    for method, change in [r for r in requests if r[0] != "PATCH" or path not in UNCHANGEABLE]:
        answers = [
            await service.client.request(method, target, headers=stranger.headers, json=change)
            for target in (foreign, never)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert stable(answers[0]) == stable(answers[1])
    missed = [event["target"]["id"] for event in await events(stranger.tenant_id, "AccessMissed")]
    assert missed == [
        target.rpartition("/")[2] for _ in range(len(missed) // 2) for target in (foreign, never)
    ]
    assert len(missed) == (4 if path in UNCHANGEABLE else 6)
    mine = await service.client.get(foreign, headers=owner.headers)
    assert mine.json().get("name") != "Taken"


@pytest.mark.parametrize(("path", "fields", "kind"), RESOURCES)
async def test_foreign_workspace_in_body_or_filter_is_like_one_that_never_existed(
    service: Harness,
    tenants: tuple[MadeTenant, MadeTenant],
    events: Events,
    path: str,
    fields: dict[str, str],
    kind: Kind,
) -> None:
    owner, stranger = tenants
    named = [workspace_text(owner.workspace_id), workspace_text(new_id())]
    created = await asyncio.gather(
        *(
            service.client.post(path, headers=stranger.headers, json={"workspace_id": name, **fields})
            for name in named
        )
    )
    listed = await asyncio.gather(
        *(service.client.get(path, headers=stranger.headers, params={"workspace_id": name}) for name in named)
    )
    for answers in (created, listed):
        assert [answer.status_code for answer in answers] == [404, 404]
        assert stable(answers[0]) == stable(answers[1])
    missed = [event["target"] for event in await events(stranger.tenant_id, "AccessMissed")]
    assert {target["type"] for target in missed} == {"workspace"}
    assert sorted(target["id"] for target in missed) == sorted(named * 2)


@pytest.mark.parametrize(("path", "fields", "kind"), RESOURCES)
async def test_lists_hold_own_rows_only(
    service: Harness, tenants: tuple[MadeTenant, MadeTenant], path: str, fields: dict[str, str], kind: Kind
) -> None:
    for tenant in tenants:
        body = {"workspace_id": workspace_text(tenant.workspace_id), **fields}
        made = (await service.client.post(path, headers=tenant.headers, json=body)).json()
        listed = (await service.client.get(path, headers=tenant.headers)).json()["data"]
        assert listed == [{name: value for name, value in made.items() if name not in LEFT_OUT_OF_LISTS}]


@pytest.mark.parametrize(("path", "fields", "kind"), RESOURCES)
async def test_naming_the_other_tenant_is_forbidden_and_recorded(
    service: Harness,
    tenants: tuple[MadeTenant, MadeTenant],
    events: Events,
    path: str,
    fields: dict[str, str],
    kind: Kind,
) -> None:
    owner, stranger = tenants
    foreign = to_text(Kind.TENANT, owner.tenant_id)
    body = {"workspace_id": workspace_text(stranger.workspace_id), **fields}
    answers = [
        await service.client.get(path, headers={**stranger.headers, "X-Tenant-ID": foreign}),
        await service.client.get(path, headers=stranger.headers, params={"tenant_id": foreign}),
        await service.client.post(path, headers=stranger.headers, json={**body, "tenant_id": foreign}),
    ]
    assert [answer.json()["code"] for answer in answers] == ["cross_tenant_forbidden"] * 3
    denied = await events(stranger.tenant_id, "AccessDenied")
    assert [event["named_tenant_id"] for event in denied] == [foreign] * 3
