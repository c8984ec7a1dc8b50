"""Domains over a real database: records, keys, roles, tenants, events."""

import asyncio
import base64
import logging
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from campaigns.domain.keys import unseal
from common.ids import Kind, new_id, parse, to_text
from common.sealing import EncryptionKeys
from common.testing.databases import ServiceDatabase
from common.testing.harness import BUSY, Harness, MadeTenant, bearer

from .conftest import (
    KEY_ENCRYPTION_KEY,
    Events,
    add_workspace,
    archive_workspace,
    stable,
    workspace_text,
)

PATH = "/api/v1/domains"


async def add(service: Harness, tenant: MadeTenant, **fields: Any) -> httpx.Response:
    body = {"workspace_id": workspace_text(tenant.workspace_id), "domain": "acme.example", **fields}
    return await service.client.post(PATH, headers=tenant.headers, json=body)


def records(answer: httpx.Response) -> dict[str, dict[str, str]]:
    return {record["purpose"]: record for record in answer.json()["records"]}


async def stored_key(service_database: Any, domain_id: str) -> asyncpg.Record:
    database: ServiceDatabase = await service_database("campaigns")
    connection = await asyncpg.connect(database.superuser_url)
    try:
        row = await connection.fetchrow(
            "SELECT * FROM campaigns.dkim_keys WHERE domain_id = $1", parse(Kind.DOMAIN, domain_id)
        )
    finally:
        await connection.close()
    return row


async def test_added_domain_says_which_records_it_needs(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    made = await add(service, tenant, domain="B\u00fccher.Example.")
    assert made.status_code == 201
    assert (made.json()["domain"], made.json()["status"]) == ("xn--bcher-kva.example", "pending")
    found = records(made)
    assert set(found) == {"ownership", "dkim", "spf", "dmarc", "return_path"}
    assert len(found["ownership"]["value"].removeprefix("penguinmails-verification=")) == 43
    read = await service.client.get(made.headers["Location"], headers=tenant.headers)
    assert read.json() == made.json()
    assert read.headers["ETag"] == made.headers["ETag"] == '"v1"'
    (event,) = await events(tenant.tenant_id, "DomainAdded")
    assert (event["domain"], event["version"]) == ("xn--bcher-kva.example", 1)


async def test_published_key_is_the_public_half_of_the_encrypted_one(
    service: Harness, service_database: Any, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = await service.make_tenant()
    with caplog.at_level(logging.DEBUG):
        made = await add(service, tenant)
    name = made.json()["domain_id"]
    row = await stored_key(service_database, name)
    keys = EncryptionKeys(KEY_ENCRYPTION_KEY)
    private = unseal(tenant.tenant_id, row["domain_id"], row["private_key"], keys)
    published = records(made)["dkim"]["value"].rpartition("p=")[2]
    assert private.public_key() == serialization.load_der_public_key(base64.b64decode(published))
    assert private.key_size == 2048
    plain = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert plain[-64:] not in row["private_key"], "encrypted at rest"
    told = str(await events(tenant.tenant_id, "DomainAdded")) + made.text + caplog.text
    for secret in (plain, row["private_key"]):
        for spelled in (base64.b64encode(secret).decode()[8:72], secret.hex()[16:80], repr(secret)[16:80]):
            assert spelled not in told


async def test_every_domain_has_a_key_and_a_token_of_its_own(service: Harness) -> None:
    """Also the same domain of two tenants: neither learns of the other."""
    tenant, other = await service.make_tenant(), await service.make_tenant()
    made = [
        await add(service, tenant),
        await add(service, other),
        await add(service, tenant, domain="b.example"),
    ]
    assert [answer.status_code for answer in made] == [201] * 3
    for purpose in ("ownership", "dkim"):
        assert len({records(answer)[purpose]["value"] for answer in made}) == 3
    assert len({records(answer)["dkim"]["name"] for answer in made}) == 3
    for purpose in ("spf", "dmarc", "return_path"):
        assert records(made[0])[purpose] == records(made[1])[purpose]


async def test_domain_is_unique_within_the_tenant(service: Harness) -> None:
    tenant = await service.make_tenant()
    second = await add_workspace(service, tenant)
    await add(service, tenant)
    for fields in ({}, {"domain": "ACME.Example."}, {"workspace_id": workspace_text(second)}):
        again = await add(service, tenant, **fields)
        assert (again.status_code, again.json()["code"]) == (409, "domain_exists")


async def test_of_fifty_parallel_additions_one_wins(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(*(add(service, tenant) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    assert len(await events(tenant.tenant_id, "DomainAdded")) == 1


async def test_fifty_parallel_additions_of_different_domains_all_succeed(service: Harness) -> None:
    """And another tenant's reads go on meanwhile: who waits for a key holds no connection."""
    tenant, other = await service.make_tenant(), await service.make_tenant(features=BUSY)
    adding = asyncio.gather(*(add(service, tenant, domain=f"d{n}.example") for n in range(50)))
    loop, slowest = asyncio.get_running_loop(), 0.0
    while not adding.done():
        before = loop.time()
        assert (await service.client.get(PATH, headers=other.headers)).json()["data"] == []
        slowest = max(slowest, loop.time() - before)
    assert {answer.status_code for answer in await adding} == {201}
    assert slowest < 2


async def test_the_same_request_delivered_twice_is_one(service: Harness, events: Events) -> None:
    tenant = await service.make_tenant()
    headers = {**tenant.headers, "Idempotency-Key": "once"}
    body = {"workspace_id": workspace_text(tenant.workspace_id), "domain": "acme.example"}
    first, second = [await service.client.post(PATH, headers=headers, json=body) for _ in range(2)]
    assert (first.status_code, second.status_code, first.json()) == (201, 201, second.json())
    assert len(await events(tenant.tenant_id, "DomainAdded")) == 1


async def test_removed_domain_is_gone_with_its_key(
    service: Harness, service_database: Any, events: Events
) -> None:
    tenant = await service.make_tenant()
    made = await add(service, tenant)
    path, stale = made.headers["Location"], {**tenant.headers, "If-Match": '"v7"'}
    assert (await service.client.delete(path, headers=stale)).status_code == 412
    assert (await service.client.delete(path, headers=tenant.headers)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await service.client.request(method, path, headers=tenant.headers)).status_code == 404
    assert await stored_key(service_database, made.json()["domain_id"]) is None
    (event,) = await events(tenant.tenant_id, "DomainRemoved")
    assert (event["domain"], event["version"]) == ("acme.example", 2)
    again = await add(service, tenant)
    assert again.status_code == 201
    assert records(again)["dkim"] != records(made)["dkim"]
    assert records(again)["ownership"] != records(made)["ownership"]


async def test_pages_are_complete_and_cursors_stay_in_their_tenant(service: Harness) -> None:
    tenant, other = await service.make_tenant(), await service.make_tenant()
    made = [(await add(service, tenant, domain=f"d{n}.example")).json()["domain_id"] for n in range(5)]
    first = await service.client.get(PATH, headers=tenant.headers, params={"limit": "3"})
    cursor = {"cursor": first.json()["next_cursor"]}
    second = await service.client.get(PATH, headers=tenant.headers, params=cursor)
    seen = [item["domain_id"] for answer in (first, second) for item in answer.json()["data"]]
    assert (seen, second.json()["next_cursor"]) == (made[::-1], None)
    carried = await service.client.get(PATH, headers=other.headers, params=cursor)
    assert (carried.status_code, carried.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(("role", "may_write"), [("viewer", False), ("member", False), ("admin", True)])
async def test_only_workspace_admins_add_and_remove(service: Harness, role: str, may_write: bool) -> None:
    tenant = await service.make_tenant()
    path = (await add(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant, workspaces={tenant.workspace_id: role})  # type: ignore[dict-item]
    headers = bearer(token)
    body = {"workspace_id": workspace_text(tenant.workspace_id), "domain": "b.example"}
    codes = [
        (await service.client.get(path, headers=headers)).status_code,
        (await service.client.get(PATH, headers=headers)).status_code,
        (await service.client.post(PATH, headers=headers, json=body)).status_code,
        (await service.client.delete(path, headers=headers)).status_code,
    ]
    assert codes == [200, 200, *([201, 204] if may_write else [403] * 2)]


async def test_unassigned_member_meets_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    path = (await add(service, tenant)).headers["Location"]
    _, token = await service.make_user(tenant)
    headers = bearer(token)
    never = f"{PATH}/{to_text(Kind.DOMAIN, new_id())}"
    for method in ("GET", "DELETE"):
        hidden = await service.client.request(method, path, headers=headers)
        absent = await service.client.request(method, never, headers=headers)
        assert hidden.status_code == 404
        assert stable(hidden) == stable(absent)
    assert (await service.client.get(PATH, headers=headers)).json()["data"] == []


async def test_archived_workspace_takes_no_domain(service: Harness) -> None:
    tenant = await service.make_tenant()
    await archive_workspace(service, tenant, tenant.workspace_id)
    refused = await add(service, tenant)
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_archived")


@pytest.mark.parametrize(
    "fields",
    [
        {"domain": "192.0.2.1"},
        {"domain": "*.acme.example"},
        {"domain": "localhost"},
        {"domain": "acme.example\r\nevil.example"},
        {"domain": "acme\x00.example"},
        {"domain": "'; DROP TABLE campaigns.domains; --"},
        {"domain": "a." * 126 + "ab"},
        {"domain": "x" * 300},
        {"domain": None},
        {"domain": 7},
        {"status": "verified"},
        {"private_key": "x"},
        {"ownership_token": "x"},
        {"tenant_id": "x"},
        {"workspace_id": "dom_01h455vb4pex5vsknk084sn02q"},
    ],
)
async def test_hostile_and_unknown_fields_are_refused(service: Harness, fields: dict[str, object]) -> None:
    tenant = await service.make_tenant()
    answer = await add(service, tenant, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(fields))}"
