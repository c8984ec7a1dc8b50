"""Who is in a list: all or nothing, once, inside one workspace."""

import asyncio
from typing import Any

import httpx
import pytest

from common.ids import Kind, new_id, to_text
from common.testing.harness import BUSY, Harness, MadeTenant

from .conftest import Events, add_workspace, make, make_contacts, stable, workspace_text

LIMIT = 500


async def add(service: Harness, tenant: MadeTenant, name: str, contacts: list[Any]) -> httpx.Response:
    body = {"contact_ids": contacts}
    return await service.client.post(f"/api/v1/lists/{name}/contacts", headers=tenant.headers, json=body)


async def members(service: Harness, tenant: MadeTenant, name: str) -> list[str]:
    path = f"/api/v1/lists/{name}/contacts"
    answer = await service.client.get(path, headers=tenant.headers, params={"limit": "100"})
    return [contact["contact_id"] for contact in answer.json()["data"]]


async def test_contacts_are_added_once(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    one, two, three = await make_contacts(service, tenant, 3)
    first = await add(service, tenant, name, [two, one, two])
    again = await add(service, tenant, name, [one, two])
    more = await add(service, tenant, name, [one, three])
    assert [answer.status_code for answer in (first, again, more)] == [200] * 3
    assert [answer.json() for answer in (first, again, more)] == [
        {"list_id": name, "added": count} for count in (2, 0, 1)
    ]
    assert await members(service, tenant, name) == [three, two, one]
    told = await events(tenant.tenant_id, "ListContactsAdded")
    assert [(event["contact_ids"], event["version"]) for event in told] == [([one, two], 2), ([three], 3)]


async def test_the_same_request_delivered_twice_is_one(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    (contact,) = await make_contacts(service, tenant, 1)
    headers = {**tenant.headers, "Idempotency-Key": "once"}
    path, body = f"/api/v1/lists/{name}/contacts", {"contact_ids": [contact]}
    first, second = [await service.client.post(path, headers=headers, json=body) for _ in range(2)]
    assert first.json() == second.json() == {"list_id": name, "added": 1}
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(await events(tenant.tenant_id, "ListContactsAdded")) == 1


async def test_parallel_additions_count_each_contact_once(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    contacts = await make_contacts(service, tenant, 4)
    answers = await asyncio.gather(
        *(add(service, tenant, name, contacts[:: 1 if n % 2 else -1]) for n in range(20))
    )
    assert sum(answer.json()["added"] for answer in answers) == 4
    assert len(await events(tenant.tenant_id, "ListContactsAdded")) == 1


async def test_five_hundred_are_taken_and_one_more_is_not(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    contacts = await make_contacts(service, tenant, 5)
    full = await add(service, tenant, name, (contacts * LIMIT)[:LIMIT])
    assert (full.status_code, full.json()["added"]) == (200, 5)
    for wrong in ((contacts * LIMIT)[: LIMIT + 1], []):
        refused = await add(service, tenant, name, wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/contact_ids")


async def test_five_hundred_different_contacts_are_one_event(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant(features=BUSY)
    name = await make(service, tenant, "/lists", name="Newsletter")
    contacts = await make_contacts(service, tenant, LIMIT)
    added = await add(service, tenant, name, contacts[::-1])
    assert added.json()["added"] == LIMIT
    (event,) = await events(tenant.tenant_id, "ListContactsAdded")
    assert event["contact_ids"] == sorted(contacts)


@pytest.mark.parametrize("wrong", ["camp_01h455vb4pex5vsknk084sn02q", "x", 7, None, ["x"]])
async def test_what_is_no_contact_id_is_refused(service: Harness, wrong: object) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    answer = await add(service, tenant, name, [wrong])
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/contact_ids/0")


async def test_one_wrong_contact_adds_nobody(service: Harness, events: Events) -> None:
    """Foreign, of another workspace, deleted and never existing: one answer, nothing half done."""
    tenant, other = await service.make_tenant(), await service.make_tenant()
    second = await add_workspace(service, tenant)
    name = await make(service, tenant, "/lists", name="Newsletter")
    own, gone = await make_contacts(service, tenant, 2)
    await service.client.delete(f"/api/v1/contacts/{gone}", headers=tenant.headers)
    (foreign,) = await make_contacts(service, other, 1)
    (elsewhere,) = await make_contacts(service, tenant, 1, workspace_id=workspace_text(second))
    wrong = [to_text(Kind.CONTACT, new_id()), foreign, elsewhere, gone]
    answers = [await add(service, tenant, name, [own, contact]) for contact in wrong]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert all(stable(answer) == stable(answers[0]) for answer in answers)
    assert await members(service, tenant, name) == []
    assert await events(tenant.tenant_id, "ListContactsAdded") == []
    missed = [event["target"] for event in await events(tenant.tenant_id, "AccessMissed")]
    assert missed == [{"type": "contact", "id": contact} for contact in wrong]


async def test_contact_is_taken_out(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    one, two = await make_contacts(service, tenant, 2)
    await add(service, tenant, name, [one, two])
    path = f"/api/v1/lists/{name}/contacts/{one}"
    codes = [(await service.client.delete(path, headers=tenant.headers)).status_code for _ in range(2)]
    assert codes == [204, 404]
    assert await members(service, tenant, name) == [two]
    (event,) = await events(tenant.tenant_id, "ListContactRemoved")
    assert (event["contact_id"], event["version"]) == (one, 3)
    assert (await service.client.get(f"/api/v1/contacts/{one}", headers=tenant.headers)).status_code == 200


async def test_foreign_and_absent_contacts_cannot_be_told_apart_when_taken_out(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    theirs = await make(service, other, "/lists", name="Newsletter")
    (foreign,) = await make_contacts(service, other, 1)
    await add(service, other, theirs, [foreign])
    never = to_text(Kind.CONTACT, new_id())
    for listed in (name, theirs):
        answers = [
            await service.client.delete(f"/api/v1/lists/{listed}/contacts/{contact}", headers=tenant.headers)
            for contact in (foreign, never)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert stable(answers[0]) == stable(answers[1])
    assert await members(service, other, theirs) == [foreign]


async def test_deleting_either_side_ends_the_membership_only(service: Harness) -> None:
    tenant = await service.make_tenant()
    names = [await make(service, tenant, "/lists", name=name) for name in ("One", "Two")]
    leaving, staying = await make_contacts(service, tenant, 2)
    for name in names:
        await add(service, tenant, name, [leaving, staying])
    assert (
        await service.client.delete(f"/api/v1/contacts/{leaving}", headers=tenant.headers)
    ).status_code == 204
    assert (
        await service.client.delete(f"/api/v1/lists/{names[0]}", headers=tenant.headers)
    ).status_code == 204
    assert await members(service, tenant, names[1]) == [staying]


async def test_contacts_deleted_meanwhile_are_missing_and_not_an_error(service: Harness) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    contacts = await make_contacts(service, tenant, 10)
    answers = await asyncio.gather(
        *(service.client.delete(f"/api/v1/contacts/{c}", headers=tenant.headers) for c in contacts),
        *(add(service, tenant, name, [contact]) for contact in contacts),
    )
    assert {answer.status_code for answer in answers} <= {200, 204, 404}
    assert await members(service, tenant, name) == []


async def test_pages_of_contacts_are_complete(service: Harness) -> None:
    tenant = await service.make_tenant()
    name = await make(service, tenant, "/lists", name="Newsletter")
    contacts = await make_contacts(service, tenant, 5)
    await add(service, tenant, name, contacts[:4])
    path = f"/api/v1/lists/{name}/contacts"
    first = await service.client.get(path, headers=tenant.headers, params={"limit": "3"})
    cursor = {"cursor": first.json()["next_cursor"]}
    second = await service.client.get(path, headers=tenant.headers, params=cursor)
    seen = [item["contact_id"] for answer in (first, second) for item in answer.json()["data"]]
    assert (seen, second.json()["next_cursor"]) == (contacts[3::-1], None)
