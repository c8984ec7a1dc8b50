"""The API document says what the code does."""

from typing import Any

import pytest
from fastapi import FastAPI

from common.web.openapi import Operation, Unmergeable, merged_document, operations
from penguinmails import api_page
from penguinmails.reference import applications

Json = dict[str, Any]


@pytest.fixture(scope="module")
def apps() -> dict[str, FastAPI]:
    return applications()


@pytest.fixture(scope="module")
def document(apps: dict[str, FastAPI]) -> Json:
    return merged_document(apps)


@pytest.fixture(scope="module")
def by_id(apps: dict[str, FastAPI]) -> dict[str, Operation]:
    return {one.route.operation_id or "": one for name, app in apps.items() for one in operations(name, app)}


def all_operations(document: Json) -> list[Json]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_every_operation_is_complete(document: Json) -> None:
    for operation in all_operations(document):
        assert {"operationId", "summary", "description", "security", "tags"} <= set(operation)
        told = " ".join(operation["description"].split())
        assert told == operation["summary"] or told.startswith(f"{operation['summary']}."), "a whole sentence"
        assert all({"description", "example"} <= set(parameter) for parameter in operation["parameters"])
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        assert all("example" in content for body in bodies for content in body.get("content", {}).values())


def test_errors_are_problem_documents(document: Json) -> None:
    for operation in all_operations(document):
        failures = {code: answer for code, answer in operation["responses"].items() if int(code) >= 400}
        assert {"500", "503"} <= set(failures)
        assert "401" in failures or not operation["security"], "public ones may refuse credentials, too"
        assert all(list(answer["content"]) == ["application/problem+json"] for answer in failures.values())


def test_what_names_nothing_misses_nothing(by_id: dict[str, Operation]) -> None:
    """A log-in or a mailed link that opens nothing is refused with a code of its own."""
    public = [one for one in by_id.values() if not one.is_tenants and not one.is_platforms]
    assert public
    for operation in public:
        assert operation.route.dependant.path_params or 404 not in operation.codes(), operation.route.path


def test_requests_with_a_token_are_counted(document: Json) -> None:
    for operation in all_operations(document):
        for code, answer in operation["responses"].items():
            shown = {"RateLimit", "RateLimit-Policy"} <= set(answer["headers"])
            assert shown == (bool(operation["security"]) and code != "401")
        if operation["security"]:
            assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_neither_internal_routes_nor_health_are_in_it(document: Json) -> None:
    assert not [path for path in document["paths"] if path.startswith(("/internal", "/health"))]


def test_codes_are_those_the_code_raises(by_id: dict[str, Operation]) -> None:
    codes = by_id["createWorkspace"].codes()
    assert codes[403] == ["cross_tenant_forbidden", "forbidden", "limit_exceeded", "tenant_suspended"]
    assert codes[409] == ["idempotency_in_progress", "slug_taken"]
    assert by_id["updateCampaign"].codes()[412] == ["precondition_failed"]
    assert "template_in_use" in by_id["deleteTemplate"].codes()[409]


def test_reading_a_workspace_asks_for_no_role(by_id: dict[str, Operation]) -> None:
    effects = by_id["getCampaign"].effects
    assert effects.judged
    assert effects.workspace_roles == ()
    assert 409 not in by_id["getCampaign"].codes()


def test_events_and_roles_are_found_behind_the_endpoint(by_id: dict[str, Operation]) -> None:
    effects = by_id["createWorkspace"].effects
    assert {event.__name__ for event in effects.events} == {"WorkspaceCreated"}
    assert effects.roles == ("owner", "admin")
    assert by_id["createCampaign"].effects.workspace_roles == ("admin", "member")


def test_only_posts_of_tenants_take_an_idempotency_key(by_id: dict[str, Operation]) -> None:
    assert by_id["createCampaign"].is_keyed
    assert not by_id["updateCampaign"].is_keyed
    assert not by_id["getMe"].is_keyed


def test_a_name_with_two_meanings_is_refused(apps: dict[str, FastAPI]) -> None:
    with pytest.raises(Unmergeable, match=r"repeats .* /api/v1/workspaces"):
        merged_document({"workspaces": apps["workspaces"], "again": apps["workspaces"]})


def test_the_table_says_who_may_and_what_follows(by_id: dict[str, Operation]) -> None:
    lines = api_page.render(by_id.values()).splitlines()
    line = next(one for one in lines if "`POST /workspaces`" in one)
    for part in ("owner, admin", "409 `slug_taken`", "| key |", "`WorkspaceCreated`", "`workspace.created`"):
        assert part in line
    assert any("`GET /campaigns/{campaign_id}` | everybody in the workspace |" in one for one in lines)
