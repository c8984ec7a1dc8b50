"""The same key and body have one effect and one answer, whatever happens in between."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from common.testing.harness import Harness, MadeTenant

PATH = "/api/v1/workspaces"


@pytest.fixture
async def service(api: Callable[[str], Awaitable[Harness]]) -> Harness:
    return await api("workspaces")


def keyed(tenant: MadeTenant, key: str = "one-and-the-same") -> dict[str, str]:
    return {**tenant.headers, "Idempotency-Key": key}


async def test_a_repeated_request_gets_the_same_bytes_and_makes_nothing_new(service: Harness) -> None:
    tenant = await service.make_tenant()
    first = await service.client.post(PATH, headers=keyed(tenant), json={"name": "One"})
    again = await service.client.post(PATH, headers=keyed(tenant), json={"name": "One"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for name in ("ETag", "Location", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    listed = await service.client.get(PATH, headers=tenant.headers)
    assert len(listed.json()["data"]) == 2


async def test_the_key_with_another_body_is_refused(service: Harness) -> None:
    tenant = await service.make_tenant()
    await service.client.post(PATH, headers=keyed(tenant), json={"name": "One"})
    other = await service.client.post(PATH, headers=keyed(tenant), json={"name": "Two"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_keys_of_two_tenants_are_two_keys(service: Harness) -> None:
    first, second = await service.make_tenant(), await service.make_tenant()
    answers = [
        await service.client.post(PATH, headers=keyed(tenant), json={"name": "One"})
        for tenant in (first, second)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["workspace_id"] != answers[1].json()["workspace_id"]


async def test_a_refused_request_frees_the_key(service: Harness) -> None:
    tenant = await service.make_tenant()
    taken = await service.client.post(PATH, headers=keyed(tenant), json={"name": "D", "slug": "default"})
    assert taken.status_code == 409
    better = await service.client.post(PATH, headers=keyed(tenant), json={"name": "D", "slug": "other"})
    assert better.status_code == 201


async def test_parallel_requests_with_one_key_have_one_effect(service: Harness) -> None:
    tenant = await service.make_tenant()
    answers = await asyncio.gather(
        *(service.client.post(PATH, headers=keyed(tenant), json={"name": "One"}) for _ in range(20))
    )
    codes = Counter(answer.status_code for answer in answers)
    assert set(codes) <= {201, 409}
    made = {answer.json()["workspace_id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert refused <= {"idempotency_in_progress"}
    listed = await service.client.get(PATH, headers=tenant.headers)
    assert len(listed.json()["data"]) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_malformed_keys_are_refused(service: Harness, key: str) -> None:
    tenant = await service.make_tenant()
    answer = await service.client.post(PATH, headers=keyed(tenant, key), json={"name": "One"})
    assert answer.status_code == 422
