"""What operators see of tenants and do to them, over HTTP and at the command line."""

import asyncio
import json
import os
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.test_standing_changes import change
from services.tenants.tests.world import Office
from sqlalchemy import text
from typer.testing import CliRunner

from common.context import SystemContext
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.testing.databases import ServiceDatabase
from common.testing.harness import TEST_LINK_SECRET, Harness, bearer
from tenants.lifecycle.service import suspend as suspend_for
from tenants.platform.commands import commands

PATH = "/api/v1/platform/tenants"
OPERATOR = new_id()


class Desk:
    """An operator's HTTP calls about one tenant."""

    def __init__(self, company: Company) -> None:
        self._client, self._headers = company.service.client, operator_headers(company.service)
        self.tenant_id = company.tenant.tenant_id
        self._url = f"{PATH}/{to_text(Kind.TENANT, self.tenant_id)}"

    async def ask(self, method: str, path: str = "", body: Any = None, **headers: str) -> httpx.Response:
        headers = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self._client.request(method, self._url + path, headers=headers, json=body)


def operator_headers(service: Harness) -> dict[str, str]:
    return bearer(service.issuer.operator_token(OPERATOR))


@pytest.fixture
async def company(service: Harness) -> Company:
    return await found(service, "starter")


@pytest.fixture
def desk(company: Company) -> Desk:
    return Desk(company)


async def told(office: Office, desk: Desk, *names: str) -> list[dict[str, Any]]:
    return await office.emitted(desk.tenant_id, *names)


async def test_a_suspension_says_who_and_why(desk: Desk, office: Office) -> None:
    answer = await desk.ask("POST", "/suspend", {"reason": "Bought lists"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["suspensions"]) == ("suspended", ["operator"])
    await desk.ask("POST", "/suspend", {"reason": "Again"})
    suspended, ordered = await told(office, desk, "TenantSuspended", "TenantSuspensionOrdered")
    operator = {"type": "operator", "id": to_text(Kind.OPERATOR, OPERATOR)}
    assert [event["meta"]["actor"] for event in (suspended, ordered)] == [operator] * 2
    assert ordered["reason"] == "Bought lists"
    (action, *_) = [e for e in await told(office, desk, "ActionRecorded") if e["meta"]["actor"] == operator]
    assert action["request"]["route"] == f"{PATH}/{{tenant_id}}/suspend"
    assert (await desk.ask("POST", "/reactivate")).json()["status"] == "active"
    await desk.ask("POST", "/reactivate")
    assert len(await told(office, desk, "TenantReactivated", "TenantSuspensionLifted")) == 2


async def test_an_act_that_changes_no_status_is_audited_too(
    company: Company, desk: Desk, office: Office
) -> None:
    await change(company, lambda session, row: suspend_for(session, row, "unpaid"))
    answer = await desk.ask("POST", "/suspend", {"reason": "Bought lists"})
    assert answer.json()["suspensions"] == ["operator", "unpaid"]
    assert (await desk.ask("POST", "/reactivate")).json()["status"] == "suspended"
    names = [e["type"] for e in await told(office, desk) if e["type"].startswith("TenantSusp")]
    assert names == ["TenantSuspended", "TenantSuspensionOrdered", "TenantSuspensionLifted"]


async def test_limits_are_overridden_one_by_one_and_given_back(desk: Desk, office: Office) -> None:
    await desk.ask("PUT", "/limits", {"max_users": 42, "max_workspaces": 0})
    answer = await desk.ask("PUT", "/limits", {"max_workspaces": None})
    assert answer.json()["limits"] == {
        "max_workspaces": 3,
        "max_users": 42,
        "email_sends_per_month": 10_000,
    }
    assert answer.json()["limit_overrides"] == {
        "max_workspaces": None,
        "max_users": 42,
        "email_sends_per_month": None,
    }
    changes = await told(office, desk, "TenantLimitsUpdated")
    assert [event["limits"]["max_workspaces"] for event in changes] == [0, 3]
    whole = await desk.ask("PUT", "/limits", {"max_users": 7.0})
    assert whole.json()["limits"]["max_users"] == 7
    for body in (
        {"max_users": 1.5},
        {"max_users": -1},
        {"max_users": "7"},
        {"max_users": True},
        {"plan": "enterprise"},
    ):
        assert (await desk.ask("PUT", "/limits", body)).status_code == 422, body


@pytest.mark.parametrize(
    ("flag", "good", "bad"),
    [
        ("api_rate_limit", 600, [0, 1_000_001, True, "600", 1.5, None]),
        ("data_retention_days", 30, [0, 36_501, False]),
        ("custom_branding", True, [1, "true", None]),
        ("beta_features", True, [2]),
    ],
)
async def test_flags_take_their_own_kind_of_value(desk: Desk, flag: str, good: Any, bad: list[Any]) -> None:
    before = (await desk.ask("GET")).json()["features"][flag]
    answer = await desk.ask("PUT", f"/features/{flag}", {"value": good})
    assert answer.json()["features"][flag] == answer.json()["feature_overrides"][flag] == good
    for value in bad:
        refused = await desk.ask("PUT", f"/features/{flag}", {"value": value})
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed"), value
    lifted = await desk.ask("DELETE", f"/features/{flag}")
    assert lifted.json()["features"][flag] == before
    assert lifted.json()["feature_overrides"][flag] is None


async def test_a_stale_state_is_not_changed(desk: Desk) -> None:
    stale = (await desk.ask("GET")).headers["ETag"]
    assert (await desk.ask("PUT", "/limits", {"max_users": 9}, If_Match=stale)).status_code == 200
    for path, body in (("/limits", {"max_users": 10}), ("/features/beta_features", {"value": True})):
        assert (await desk.ask("PUT", path, body, If_Match=stale)).status_code == 412


async def test_what_is_not_there_is_not_found(service: Harness, desk: Desk) -> None:
    headers = operator_headers(service)
    never = to_text(Kind.TENANT, new_id())
    for path in (f"{PATH}/{never}", f"{PATH}/{to_text(Kind.TENANT, PLATFORM_TENANT)}", f"{PATH}/nothing"):
        answer = await service.client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await desk.ask("PUT", "/features/surprise", {"value": True})).status_code == 404


async def listed(service: Harness, **params: Any) -> list[str]:
    """Ids of all tenants on all pages."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        answer = await service.client.get(
            PATH, headers=operator_headers(service), params={**params, **more, "limit": 2}
        )
        assert answer.status_code == 200, answer.text
        ids += [tenant["tenant_id"] for tenant in answer.json()["data"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return ids


async def test_tenants_are_found_by_name_status_and_plan(service: Harness, office: Office) -> None:
    word = new_id().hex
    companies = [await found(service, plan) for plan in ("starter", "starter", "enterprise")]
    ids = [to_text(Kind.TENANT, company.tenant.tenant_id) for company in companies]
    for number, company in enumerate(companies):
        renamed = f"Company {word.upper()} {number} 100%"
        await office.fetch(
            "UPDATE tenants.tenants SET company_name = $2 WHERE tenant_id = $1",
            company.tenant.tenant_id,
            renamed,
        )
    await Desk(companies[0]).ask("POST", "/suspend", {"reason": "Bought lists"})
    assert await listed(service, q=word) == ids[::-1], "newest first, over several pages"
    assert await listed(service, q=f"{word} 1 100%") == [ids[1]]
    assert await listed(service, q=f"{word} % 100%") == []
    assert await listed(service, q=word, status="suspended") == [ids[0]]
    assert await listed(service, q=word, plan="starter") == [ids[1], ids[0]]
    refused = await service.client.get(PATH, headers=operator_headers(service), params={"plan": "x"})
    assert refused.status_code == 422


async def test_nobody_but_the_platform_lists_tenants(service: Harness, company: Company) -> None:
    """The function looks across tenants for the one purpose and the one tenant it was made for."""
    statement = text("SELECT count(*) FROM tenants.list_tenants(NULL, NULL, NULL, NULL, 10)")
    counts = {}
    for tenant_id, purpose in (
        (PLATFORM_TENANT, "platform"),
        (PLATFORM_TENANT, "job"),
        (company.tenant.tenant_id, "platform"),
        (company.tenant.tenant_id, "event"),
    ):
        context = SystemContext(tenant_id, purpose, "tenants")  # type: ignore[arg-type]
        async with service.kernel.database.tenant(context) as session:
            counts[purpose, tenant_id == PLATFORM_TENANT] = await session.scalar(statement)
    assert counts.pop(("platform", True))
    assert set(counts.values()) == {0}


async def test_reads_are_told_to_whom_they_concern(service: Harness, desk: Desk, office: Office) -> None:
    await desk.ask("GET")
    await service.client.get(PATH, headers=operator_headers(service))
    await service.kernel.access_log.flush()
    (event,) = await told(office, desk, "AccessRecorded")
    (record,) = event["records"]
    assert record["actor"] == {"type": "operator", "id": to_text(Kind.OPERATOR, OPERATOR)}
    assert record["targets"] == [{"type": "tenant", "id": to_text(Kind.TENANT, desk.tenant_id)}]
    lists = [
        record["request"]["route"]
        for event in await office.emitted(PLATFORM_TENANT, "AccessRecorded")
        for record in event["records"]
    ]
    assert PATH in lists


class CommandLine:
    """`python -m tenants tenants …`."""

    def __init__(self, database: ServiceDatabase) -> None:
        self._environment = {
            "DATABASE_URL": database.app_url,
            "POOLER_MODE": database.pooler_mode,
            "TENANCY_KEY": database.tenancy_key,
            "LINK_SECRET": TEST_LINK_SECRET,
            "SERVICE_SIGNING_KEY": "none",
            "STRIPE_SECRET_KEY": "none",
            "STRIPE_WEBHOOK_SECRET": "whsec_" + "0" * 16,
        }

    async def run(self, *words: str) -> tuple[int, str]:
        with patch.dict(os.environ, self._environment):
            result = await asyncio.to_thread(CliRunner().invoke, commands, [*words, "--by", "root"])
        return result.exit_code, result.output

    async def tenants(self, *words: str) -> list[dict[str, Any]]:
        status, output = await self.run(*words)
        assert status == 0, output
        return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def command_line(database: ServiceDatabase) -> CommandLine:
    return CommandLine(database)


async def test_the_command_line_does_all_of_it(
    command_line: CommandLine, company: Company, office: Office
) -> None:
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    run = command_line.tenants
    assert tenant in [one["tenant_id"] for one in await run("list", "--plan", "starter", "--q", "acme")]
    (suspended,) = await run("suspend", tenant, "--reason", "Bought lists")
    assert suspended["status"] == "suspended"
    assert (await run("reactivate", tenant))[0]["status"] == "active"
    (limits,) = await run("limits", tenant, "--max-users", "42", "--max-workspaces", "7")
    assert limits["limits"]["max_users"] == 42
    assert (await run("limits", tenant, "--max-users", "plan"))[0]["limits"]["max_users"] == 3
    assert (await run("flag", tenant, "api_rate_limit", "900"))[0]["features"]["api_rate_limit"] == 900
    assert (await run("flag", tenant, "beta_features", "on"))[0]["features"]["beta_features"] is True
    (shown,) = await run("flag", tenant, "beta_features", "plan")
    assert shown == (await run("show", tenant))[0]
    assert shown["feature_overrides"]["beta_features"] is None
    assert shown["limit_overrides"]["max_workspaces"] == 7
    actors = [event["meta"]["actor"] for event in await office.emitted(company.tenant.tenant_id)]
    assert actors.count({"type": "operator", "id": "root"}) == 10
    (read,) = await office.emitted(company.tenant.tenant_id, "AccessRecorded")
    assert [(one["actor"]["id"], one["request"]["route"]) for one in read["records"]] == [
        ("root", "tenants show")
    ]
    lists = [
        record["request"]["route"]
        for event in await office.emitted(PLATFORM_TENANT, "AccessRecorded")
        for record in event["records"]
        if record["actor"]["id"] == "root"
    ]
    assert lists[-1] == "tenants list"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "nobody"], "is no tenant's id"),
        (["show", to_text(Kind.TENANT, new_id())], "there is no tenant"),
        (["flag", "{tenant}", "surprise", "on"], "there is no flag"),
        (["flag", "{tenant}", "api_rate_limit", "on"], "must be a whole number"),
        (["flag", "{tenant}", "api_rate_limit", "many"], "neither on, off"),
        (["limits", "{tenant}", "--max-users", "many"], "a limit is a whole number"),
        (["limits", "{tenant}", "--max-users", "-1"], "a limit is a whole number"),
        (["suspend", "{tenant}", "--reason", ""], "a reason is 1 to 255"),
    ],
)
async def test_the_command_line_says_what_is_wrong(
    command_line: CommandLine, company: Company, words: list[str], says: str
) -> None:
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    status, output = await command_line.run(*(word.format(tenant=tenant) for word in words))
    assert status == 2, output
    assert says in " ".join(output.replace("│", " ").split())
