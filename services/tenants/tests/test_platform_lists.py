"""What holds for each of the operators' lists: whom it opens to, its pages, and that reads are recorded."""

from functools import partial
from typing import Any

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.operating import BASE, Operator, records_of
from services.tenants.tests.test_platform import PATH as TENANTS
from services.tenants.tests.world import Office
from sqlalchemy import text

from common.context import SystemContext
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.testing.harness import Harness, bearer
from tenants.deletion.queries import WantedDeletions, find_deletions
from tenants.platform import paging

LISTS = {
    "provisioning": "tenants.list_sign_ups(NULL, NULL, NULL, NULL, 10)",
    "deletions": "tenants.list_deletions(NULL, NULL, false, NULL, 10)",
    "exports": "tenants.list_exports(NULL, NULL, NULL, 10)",
    "billing": "tenants.list_billing(NULL, false, NULL, 10)",
}
"""Each list and the function that it reads with."""


@pytest.fixture
async def company(service: Harness, office: Office) -> Company:
    """Somebody who stands in every list."""
    made = await found(service, "starter")
    tenant_id = made.tenant.tenant_id
    await office.fetch("INSERT INTO tenants.deletions (tenant_id, erase_at) VALUES ($1, now())", tenant_id)
    await office.fetch(
        "INSERT INTO tenants.exports (tenant_id, job_id, next_step_at) VALUES ($1, $2, 'infinity')",
        tenant_id,
        new_id(),
    )
    return made


@pytest.fixture
def operator(service: Harness) -> Operator:
    return Operator(service)


async def ids_of(operator: Operator, name: str, **params: Any) -> list[str]:
    return [one["tenant_id"] for one in await operator.listed(f"/{name}", **params)]


@pytest.mark.parametrize("name", LISTS)
async def test_nobody_but_the_platform_lists(service: Harness, company: Company, name: str) -> None:
    statement = text(f"SELECT count(*) FROM {LISTS[name]}")
    counts = {}
    for tenant_id, purpose in (
        (PLATFORM_TENANT, "platform"),
        (PLATFORM_TENANT, "job"),
        (company.tenant.tenant_id, "platform"),
        (company.tenant.tenant_id, "job"),
    ):
        context = SystemContext(tenant_id, purpose, "tenants")  # type: ignore[arg-type]
        async with service.kernel.database.tenant(context) as session:
            counts[purpose, tenant_id == PLATFORM_TENANT] = await session.scalar(statement)
    assert counts.pop(("platform", True))
    assert set(counts.values()) == {0}


@pytest.mark.parametrize("name", LISTS)
async def test_only_operators_are_let_in(service: Harness, company: Company, name: str) -> None:
    stranger = service.issuer.operator_token(new_id(), aud="penguinmails")
    for headers in ({}, company.tenant.headers, bearer(stranger)):
        answer = await service.client.get(f"{BASE}/{name}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("name", LISTS)
async def test_pages_show_each_once_newest_first(
    service: Harness, office: Office, operator: Operator, company: Company, name: str
) -> None:
    first = to_text(Kind.TENANT, company.tenant.tenant_id)
    shown = await ids_of(operator, name)
    assert shown.count(first) == 1
    if name != "exports":
        assert shown == sorted(shown, reverse=True)
    whole = (await operator.get(f"/{name}", limit=100))["data"]
    assert [one["tenant_id"] for one in whole] == shown[:100]


@pytest.mark.parametrize("name", LISTS)
async def test_only_its_own_cursors_turn_a_page(
    service: Harness, operator: Operator, company: Company, name: str
) -> None:
    cursors = service.kernel.cursors
    here, listing = PLATFORM_TENANT, "platform.tenants"
    for cursor in (
        "x",
        "A" * 200,
        "ä",
        cursors.encode(here, listing, new_id()),
        cursors.encode(company.tenant.tenant_id, listing, new_id()),
    ):
        answer = await operator.ask("GET", f"/{name}", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), cursor
    for wrong in ({"status": "Surprise\x00"}, {"limit": 0}, {"limit": 101}, {"cursor": "x" * 201}):
        assert (await operator.ask("GET", f"/{name}", params=wrong)).status_code == 422, wrong


@pytest.mark.parametrize("name", LISTS)
async def test_what_is_not_there_is_not_found(operator: Operator, company: Company, name: str) -> None:
    mine = to_text(Kind.TENANT, company.tenant.tenant_id)
    job = to_text(Kind.JOB, new_id())
    last = f"/{job}" if name == "exports" else ""
    for tenant in (to_text(Kind.TENANT, new_id()), to_text(Kind.TENANT, PLATFORM_TENANT), "nothing"):
        answer = await operator.ask("GET", f"/{name}/{tenant}{last}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), tenant
    if name == "exports":
        assert (await operator.ask("GET", f"/exports/{mine}/{job}")).status_code == 404


@pytest.mark.parametrize("name", LISTS)
async def test_reads_are_recorded_where_they_belong(
    service: Harness, office: Office, operator: Operator, company: Company, name: str
) -> None:
    (job,) = await office.fetch(
        "SELECT job_id FROM tenants.exports WHERE tenant_id = $1", company.tenant.tenant_id
    )
    last = f"/{to_text(Kind.JOB, job['job_id'])}" if name == "exports" else ""
    tenant = to_text(Kind.TENANT, company.tenant.tenant_id)
    await operator.get(f"/{name}")
    await operator.get(f"/{name}/{tenant}{last}")
    route = f"{BASE}/{name}/{{tenant_id}}" + ("/{job_id}" if last else "")
    assert set(await records_of(service, office, operator.actor)) == {
        (True, f"{BASE}/{name}"),
        (False, route),
    }
    assert TENANTS.startswith(BASE)


async def test_the_command_line_reads_all_batches(
    service: Harness, office: Office, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "_BATCH", 1)
    context = SystemContext(PLATFORM_TENANT, "platform", "tenants")
    async with service.kernel.database.tenant(context) as session:
        find = partial(find_deletions, session, WantedDeletions())
        one_by_one = [row.tenant_id async for row in paging.every(find)]
        assert one_by_one == [row.tenant_id for row in await find(None, 10_000)]
    assert company.tenant.tenant_id in one_by_one
