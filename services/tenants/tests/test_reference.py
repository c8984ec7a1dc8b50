"""The API document and its page, as anybody gets them."""

import re

from common.testing.harness import Harness


async def test_anybody_gets_the_document(service: Harness) -> None:
    answer = await service.client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["openapi"] == "3.1.0"
    services = ("/api/v1/auth/me", "/api/v1/tenants", "/api/v1/workspaces", "/api/v1/campaigns")
    assert {*services, "/api/v1/audit/events"} <= set(document["paths"])


async def test_the_page_names_every_operation_and_loads_nothing(service: Harness) -> None:
    document = (await service.client.get("/openapi.json")).json()
    answer = await service.client.get("/docs")
    assert answer.status_code == 200
    operations = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert all(f"<section id='{name}'>" in answer.text for name in operations)
    assert all(f"<section id='schema-{name}'>" in answer.text for name in document["components"]["schemas"])
    assert not re.search(r"<script|<link|<img|@import|url\(|src=|\son[a-z]+=", answer.text)


async def test_the_policy_of_the_page_allows_its_style_only(service: Harness) -> None:
    policy = (await service.client.get("/docs")).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


async def test_a_link_of_the_page_leads_somewhere(service: Harness) -> None:
    page = (await service.client.get("/docs")).text
    targets = set(re.findall(r"id='([^']+)'", page))
    assert set(re.findall(r"href='#([^']+)'", page)) <= targets
