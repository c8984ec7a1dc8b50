"""Sign-ups over HTTP for operators: found by status, explained, resumed."""

import asyncio
from typing import Any

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.operating import Operator
from services.tenants.tests.world import Office, ScriptedStripe

from common.contracts.auth import WelcomeMailRefused
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness
from tenants.billing.worker import Clerk

PATH = "/provisioning"


@pytest.fixture
async def company(service: Harness, office: Office) -> Company:
    """The only sign-up that is unfinished."""
    await office.fetch("UPDATE tenants.provisionings SET finished_at = now() WHERE finished_at IS NULL")
    await office.fetch("UPDATE tenants.provisioning_steps SET status = 'done'")
    return await found(service, "starter")


@pytest.fixture
def operator(service: Harness) -> Operator:
    return Operator(service)


def name_of(company: Company) -> str:
    return to_text(Kind.TENANT, company.tenant.tenant_id)


async def where_listed(operator: Operator, company: Company) -> set[str]:
    """The filters that show the company's sign-up; each agrees with what the item itself says."""
    found: set[str] = set()
    for params in ({"status": "running"}, {"status": "failed"}, {"status": "done"}, {"stuck": True}):
        items = await operator.listed(PATH, **params)
        for item in items:
            assert {**item, **params} == item, "what is shown is what was asked for"
        if name_of(company) in [item["tenant_id"] for item in items]:
            found |= {str(value) for value in params.values()}
    return found


async def age(office: Office, company: Company) -> None:
    await office.fetch(
        "UPDATE tenants.provisionings SET started_at = now() - interval '2 minutes' WHERE tenant_id = $1",
        company.tenant.tenant_id,
    )


async def refuse_mail(office: Office, company: Company) -> None:
    mail = {"tenant_id": company.tenant.tenant_id, "user_id": company.tenant.owner_id, "version": 1}
    await office.hear(company.tenant.tenant_id, WelcomeMailRefused(**mail, attempts=2, code=550))


async def test_sign_ups_are_found_by_how_they_stand(
    office: Office, operator: Operator, company: Company, clerk: Clerk
) -> None:
    tenant_id = company.tenant.tenant_id
    assert await where_listed(operator, company) == {"running"}
    await age(office, company)
    assert await where_listed(operator, company) == {"running", "True"}
    await refuse_mail(office, company)
    assert await where_listed(operator, company) == {"failed", "True"}
    await office.make_due(tenant_id)
    await clerk.work_on(tenant_id)
    await office.hear(tenant_id, *await office.answers_of_others(tenant_id))
    assert await where_listed(operator, company) == {"done"}
    (item,) = [one for one in await operator.listed(PATH) if one["tenant_id"] == name_of(company)]
    assert (item["unfinished"], item["stuck"]) == ([], False)
    assert item["finished_at"] >= item["ready_at"] >= item["started_at"]


async def test_one_sign_up_shows_each_step(office: Office, operator: Operator, company: Company) -> None:
    await refuse_mail(office, company)
    shown = await operator.get(f"{PATH}/{name_of(company)}")
    steps = {step["name"]: step for step in shown["steps"]}
    assert (shown["status"], shown["stuck"]) == ("failed", True)
    assert (steps["welcome_mail"]["attempts"], steps["welcome_mail"]["error"]) == (2, "mail_refused_550")
    assert "auth has not answered" in steps["owner_account"]["explanation"]
    assert "not published" in steps["owner_account"]["explanation"], "it cannot be told which"


async def test_operators_resume_at_once_and_nothing_is_made_twice(
    office: Office,
    operator: Operator,
    company: Company,
    clerk: Clerk,
    stripe: ScriptedStripe,
    service: Harness,
) -> None:
    """The clerk of the service is the real worker."""
    tenant_id, path = company.tenant.tenant_id, f"{PATH}/{name_of(company)}/resume"
    stripe.failures = ["card_declined"]
    await office.make_due(tenant_id)
    await clerk.work_on(tenant_id)
    await refuse_mail(office, company)
    other = Operator(service)
    answers: list[Any] = await asyncio.gather(*(one.post(path) for one in (operator, other)))
    assert [answer["status"] for answer in answers] == ["running"] * 2
    running = asyncio.create_task(clerk.rounds.run())
    async with asyncio.timeout(20):
        while (await office.steps(tenant_id))["billing"] != "done":
            await asyncio.wait({running}, timeout=0.02)
    running.cancel()
    await asyncio.wait({running})
    assert len(stripe.customers) == len(stripe.subscriptions) == 1
    told = await office.emitted(tenant_id, "ProvisioningResumed")
    assert {event["meta"]["actor"]["id"] for event in told} == {
        operator.actor["id"],
        other.actor["id"],
    }
    assert told[0]["steps"] == ["owner_account", "default_workspace", "billing", "welcome_mail"]


async def test_what_is_not_stuck_is_resumed_too_and_what_is_done_is_left_alone(
    office: Office, operator: Operator, company: Company, clerk: Clerk
) -> None:
    tenant_id, path = company.tenant.tenant_id, f"{PATH}/{name_of(company)}/resume"
    assert (await operator.post(path))["stuck"] is False
    assert len(await office.emitted(tenant_id, "ProvisioningResumed")) == 1
    await clerk.work_on(tenant_id)
    await office.hear(tenant_id, *await office.answers_of_others(tenant_id))
    assert (await operator.post(path))["status"] == "done"
    assert len(await office.emitted(tenant_id, "ProvisioningResumed")) == 1
    missing = await operator.ask("POST", f"{PATH}/{to_text(Kind.TENANT, new_id())}/resume")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
