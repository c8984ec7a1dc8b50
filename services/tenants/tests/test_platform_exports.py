"""Exports for operators, over HTTP and at the command line: how far each is, never the archive."""

import json

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.operating import CommandLine, Operator, records_of
from services.tenants.tests.world import Office

from common.contracts.tenants import ExportedRows, TenantPartExported
from common.ids import Kind, parse, to_text
from common.testing.harness import Harness
from tenants.export.commands import commands
from tenants.export.rules import PARTS

PATH = "/exports"


@pytest.fixture
async def company(service: Harness) -> Company:
    return await found(service, "starter")


@pytest.fixture
def operator(service: Harness) -> Operator:
    return Operator(service)


async def begin(company: Company) -> str:
    """The export's id."""
    headers = company.tenant.headers
    answer = await company.service.client.post(f"{company.url}/export", headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def test_an_export_is_followed_and_its_archive_is_not_shown(
    company: Company, operator: Operator, office: Office
) -> None:
    job, tenant_id = await begin(company), company.tenant.tenant_id
    tenant = to_text(Kind.TENANT, tenant_id)
    shown = await operator.get(f"{PATH}/{tenant}/{job}")
    assert (shown["status"], shown["written"], shown["missing"]) == ("queued", [], sorted(PARTS))
    part = TenantPartExported(
        tenant_id=tenant_id,
        job_id=parse(Kind.JOB, job),
        version=1,
        service="audit",
        resources=(ExportedRows(resource="things", rows=1),),
    )
    await office.hear(tenant_id, part)
    (listed,) = await operator.listed(PATH, tenant_id=tenant)
    assert listed == await operator.get(f"{PATH}/{tenant}/{job}")
    assert (listed["status"], listed["written"]) == ("running", ["audit"])
    assert listed["missing"] == sorted(PARTS - {"audit"})
    await office.fetch(
        "UPDATE tenants.exports SET status = 'done', expires_at = now() + '1 h' WHERE tenant_id = $1",
        tenant_id,
    )
    owners = (await company.get(f"/exports/{job}")).json()["result_url"]
    done = await operator.listed(PATH, tenant_id=tenant, status="done")
    assert [one["job_id"] for one in done] == [job]
    assert await operator.listed(PATH, tenant_id=tenant, status="failed") == []
    assert owners.rpartition("/")[2] not in json.dumps(done)
    assert "url" not in json.dumps(done)


async def test_a_list_of_one_tenants_exports_stands_in_its_log(
    service: Harness, company: Company, operator: Operator, office: Office
) -> None:
    """Over HTTP; a parameter that the route does not know is none."""
    await operator.listed(PATH, tenant_id=to_text(Kind.TENANT, company.tenant.tenant_id))
    await operator.get("/billing", tenant_id="nobody")
    told = await records_of(service, office, operator.actor)
    assert told == [(False, "/api/v1/platform/exports"), (True, "/api/v1/platform/billing")]


async def test_an_export_is_shown_only_as_that_of_its_tenant(
    service: Harness, company: Company, operator: Operator
) -> None:
    job, other = await begin(company), await found(service, "starter")
    answer = await operator.ask("GET", f"{PATH}/{to_text(Kind.TENANT, other.tenant.tenant_id)}/{job}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_command_line_shows_the_same(
    service: Harness, company: Company, operator: Operator, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, job = CommandLine(service, commands, monkeypatch), await begin(company)
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    shown = await operator.get(f"{PATH}/{tenant}/{job}")
    assert await line.run("list", "--tenant", tenant) == [shown]
    assert await line.run("list", "--tenant", tenant, "--status", "done") == []
    assert job in [one["job_id"] for one in await line.run("list")]
    assert await line.run("show", tenant, job) == [shown]
    await line.run("show", tenant, tenant, status=2)
    told = await records_of(service, office, {"type": "operator", "id": "root"})
    assert {(True, "exports list"), (False, "exports list"), (False, "exports show")} <= set(told)
