"""Billing for operators: how it stands, what stood in its way, and comparisons with Stripe to order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from uuid import UUID

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.operating import CommandLine, Operator, records_of
from services.tenants.tests.world import Office, ScriptedStripe

from common.context import SystemContext
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.testing.harness import Harness
from tenants.billing.commands import commands
from tenants.billing.orders import ATTEMPTS, Comparer
from tenants.billing.service import retire
from tenants.billing.worker import Clerk

PATH = "/billing"
RUNS = f"{PATH}/reconciliations"


@pytest.fixture
async def company(service: Harness, office: Office, clerk: Clerk) -> Company:
    """The only tenant with billing, with a running trial; and nobody has ordered anything."""
    await office.fetch("DELETE FROM tenants.subscriptions")
    await office.fetch("DELETE FROM tenants.reconciliations")
    made = await found(service, "starter")
    await settle(office, clerk, made)
    return made


@pytest.fixture
def operator(service: Harness) -> Operator:
    return Operator(service)


@pytest.fixture
async def comparer(clerk: Clerk) -> AsyncIterator[Comparer]:
    made = Comparer(clerk)
    yield made
    await made.rounds.finish()


async def settle(office: Office, clerk: Clerk, company: Company) -> None:
    await office.make_due(company.tenant.tenant_id)
    await clerk.work_on(company.tenant.tenant_id)


def name_of(company: Company) -> str:
    return to_text(Kind.TENANT, company.tenant.tenant_id)


async def drain(comparer: Comparer) -> None:
    """Let the worker do what is ordered."""
    await comparer.rounds.step()
    await comparer.rounds.finish()


async def test_what_is_refused_is_found_with_its_reason(
    operator: Operator,
    company: Company,
    office: Office,
    clerk: Clerk,
    stripe: ScriptedStripe,
    service: Harness,
) -> None:
    shown = await operator.get(f"{PATH}/{name_of(company)}")
    assert (shown["status"], shown["problem"], shown["attempts"]) == ("trialing", None, 0)
    assert shown["customer_id"] == stripe.customers[0][0]
    assert await operator.listed(PATH, stuck=True) == []
    stripe.failures = ["card_declined"]
    await settle(office, clerk, company)
    (found,) = await operator.listed(PATH, stuck=True)
    assert found == await operator.get(f"{PATH}/{name_of(company)}")
    assert (found["errand"], found["problem"], found["attempts"]) == ("waiting", "card_declined", 1)
    assert found["next_attempt_at"] is not None
    assert await operator.listed(PATH, status="past_due") == []
    await settle(office, clerk, company)
    assert await operator.listed(PATH, stuck=True) == []
    assert [one["problem"] for one in await operator.listed(PATH, status="trialing")] == [None]
    async with service.kernel.database.tenant(
        SystemContext(company.tenant.tenant_id, "job", "tenants")
    ) as session:
        await retire(session)
        await session.commit()
    assert (await operator.get(f"{PATH}/{name_of(company)}"))["errand"] == "retired"


async def test_a_comparison_of_all_is_ordered_done_and_read(
    operator: Operator, company: Company, office: Office, comparer: Comparer, stripe: ScriptedStripe
) -> None:
    stripe.change(stripe.subscriptions[0][0], status="past_due")
    answer = await operator.ask("POST", RUNS, json={})
    run = answer.json()
    assert (answer.status_code, run["status"], run["tenant_id"]) == (202, "queued", None)
    assert answer.headers["Location"] == f"/api/v1/platform{RUNS}/{run['job_id']}"
    assert stripe.calls == 0 or (await company.subscription()).json()["status"] == "trialing"
    await drain(comparer)
    done = await operator.get(f"{RUNS}/{run['job_id']}")
    assert (done["status"], done["report"]["counts"]) == ("done", {"mended": 1})
    (entry,) = done["report"]["entries"]
    assert (entry["tenant_id"], entry["findings"]) == (name_of(company), ["status_differs_here"])
    assert (await company.subscription()).json()["status"] == "past_due"
    listed = {**done, "report": {**done["report"], "entries": []}}
    assert await operator.listed(RUNS) == [listed], "what was found is read run by run"
    ordered = await office.emitted(PLATFORM_TENANT, "ReconciliationOrdered")
    assert ordered[-1]["meta"]["actor"] == operator.actor


async def test_one_tenant_is_compared_alone_and_told_in_its_own_log(
    operator: Operator, company: Company, office: Office, comparer: Comparer, stripe: ScriptedStripe,
    service: Harness, clerk: Clerk,
) -> None:  # fmt: skip
    other = await found(service, "starter")
    await settle(office, clerk, other)
    for subscription, _, _ in stripe.subscriptions:
        stripe.change(subscription, status="past_due")
    path = f"{PATH}/{name_of(company)}/reconciliations"
    looked = await operator.post(path, 202, dry_run=True)
    await drain(comparer)
    found_there = await operator.get(f"{path}/{looked['job_id']}")
    assert found_there["report"]["counts"] == {"differs": 1}
    mended = await operator.post(path, 202)
    assert mended["tenant_id"] == name_of(company)
    await drain(comparer)
    assert (await operator.get(f"{path}/{mended['job_id']}"))["report"]["counts"] == {"mended": 1}
    states = [(await one.subscription()).json()["status"] for one in (company, other)]
    assert states == ["past_due", "trialing"]
    assert [run["job_id"] for run in await operator.listed(path)] == [mended["job_id"], looked["job_id"]]
    ordered = await office.emitted(company.tenant.tenant_id, "ReconciliationOrdered")
    assert [(event["dry_run"], event["meta"]["actor"]) for event in ordered] == [
        (True, operator.actor),
        (False, operator.actor),
    ]
    elsewhere = f"{PATH}/{name_of(other)}/reconciliations/{mended['job_id']}"
    for wrong in (elsewhere, f"{RUNS}/{mended['job_id']}", f"{RUNS}/{to_text(Kind.JOB, new_id())}"):
        assert (await operator.ask("GET", wrong)).status_code == 404


async def test_one_runs_at_a_time(
    operator: Operator, company: Company, office: Office, service: Harness, comparer: Comparer
) -> None:
    operators = [operator, *(Operator(service) for _ in range(4))]
    runs = await asyncio.gather(*(one.post(RUNS, 202) for one in operators))
    assert len({run["job_id"] for run in runs}) == 1
    path = f"{PATH}/{name_of(company)}/reconciliations"
    runs = await asyncio.gather(*(one.post(path, 202) for one in operators))
    assert len({run["job_id"] for run in runs}) == 1
    assert len(await office.emitted(company.tenant.tenant_id, "ReconciliationOrdered")) == 1
    await drain(comparer)
    assert (await operator.post(path, 202))["job_id"] != runs[0]["job_id"], "another one may follow"
    assert (await operator.ask("POST", path, json={"dry_run": "yes"})).status_code == 422
    nobody = f"{PATH}/{to_text(Kind.TENANT, new_id())}/reconciliations"
    assert (await operator.ask("POST", nobody, json={})).status_code == 404


async def test_what_fails_says_why_and_may_be_ordered_again(
    operator: Operator, company: Company, comparer: Comparer, stripe: ScriptedStripe
) -> None:
    run = await operator.post(RUNS, 202)
    stripe.failures = ["stripe_unreachable"]
    await drain(comparer)
    failed = await operator.get(f"{RUNS}/{run['job_id']}")
    assert (failed["status"], failed["error"]) == ("failed", "stripe_unreachable")
    assert (await operator.post(RUNS, 202))["job_id"] != run["job_id"]


async def test_the_order_of_a_process_that_died_is_done_by_another(
    operator: Operator, company: Company, office: Office, comparer: Comparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await operator.post(RUNS, 202)

    async def die(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(Comparer, "_compare", die)
        with pytest.raises(ConnectionResetError):
            await comparer.work_on(PLATFORM_TENANT)
    assert (await operator.get(f"{RUNS}/{run['job_id']}"))["status"] == "running"
    await drain(comparer)
    await comparer.work_on(PLATFORM_TENANT)
    assert (await operator.get(f"{RUNS}/{run['job_id']}"))["status"] == "running", "it is still somebody's"
    await office.fetch("UPDATE tenants.reconciliations SET claimed_until = now() - interval '1 s'")
    await drain(comparer)
    assert (await operator.get(f"{RUNS}/{run['job_id']}"))["status"] == "done"


async def test_an_order_that_never_comes_to_its_end_is_given_up(
    operator: Operator, company: Company, office: Office, comparer: Comparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else Stripe would be asked again after each lease, and no other order taken."""
    run = await operator.post(RUNS, 202)

    async def break_down(*_: object) -> None:
        raise ValueError("the report cannot be stored")

    with monkeypatch.context() as patch:
        patch.setattr(Comparer, "_compare", break_down)
        for _ in range(ATTEMPTS):
            with pytest.raises(ValueError, match="stored"):
                await comparer.work_on(PLATFORM_TENANT)
            await office.fetch("UPDATE tenants.reconciliations SET claimed_until = now() - interval '1 s'")
        await drain(comparer)
    failed = await operator.get(f"{RUNS}/{run['job_id']}")
    assert (failed["status"], failed["error"]) == ("failed", "gave_up")
    assert (await operator.post(RUNS, 202))["job_id"] != run["job_id"]


async def test_whoever_is_told_to_stop_puts_the_order_back(
    operator: Operator,
    company: Company,
    clerk: Clerk,
    comparer: Comparer,
    stripe: ScriptedStripe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often: each deployment stops it, and all tenants may take longer than the time between two."""
    run = await operator.post(RUNS, 202)
    with monkeypatch.context() as patch:
        patch.setattr(stripe, "list_all_customers", asyncio.Event().wait)
        for _ in range(ATTEMPTS + 1):
            leaving = Comparer(clerk)
            leaving.rounds.farewell = 0.05
            await drain(leaving)
    shown = await operator.get(f"{RUNS}/{run['job_id']}")
    assert shown["status"] == "queued"
    await drain(comparer)
    shown = await operator.get(f"{RUNS}/{run['job_id']}")
    assert (shown["status"], shown["error"]) == ("done", None)


async def test_a_comparison_of_one_tenant_at_the_command_line_is_in_its_log(
    service: Harness,
    company: Company,
    stripe: ScriptedStripe,
    office: Office,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(database: Database, _: object) -> nullcontext[Clerk]:
        return nullcontext(Clerk(database, stripe))  # type: ignore[arg-type]

    monkeypatch.setattr("tenants.billing.commands.open_clerk", opened)
    line = CommandLine(service, commands, monkeypatch)
    await line.run("reconcile", "--tenant", name_of(company), "--dry-run")
    told = await office.emitted(company.tenant.tenant_id, "AccessRecorded")
    assert [record["request"]["route"] for event in told for record in event["records"]] == [
        "billing reconcile"
    ]


async def test_an_order_is_new_whatever_ended_before_it(
    operator: Operator, company: Company, office: Office
) -> None:
    """Also beside a run whose identifier is of a clock that is ahead."""
    await office.fetch(
        "INSERT INTO tenants.reconciliations (tenant_id, job_id, day, finished_at, report) "
        'VALUES ($1, $2, NULL, now(), \'{"counts": {}, "entries": []}\')',
        PLATFORM_TENANT,
        UUID(int=new_id().int + (3_600_000 << 80)),
    )
    before = len(await office.emitted(PLATFORM_TENANT, "ReconciliationOrdered"))
    run = await operator.post(RUNS, 202)
    assert run["status"] == "queued"
    assert len(await office.emitted(PLATFORM_TENANT, "ReconciliationOrdered")) == before + 1


async def test_the_platform_is_nobodys_tenant(operator: Operator, company: Company) -> None:
    """Its own orders are those of all tenants."""
    nil = to_text(Kind.TENANT, PLATFORM_TENANT)
    for path in (
        f"{PATH}/{nil}",
        f"{PATH}/{nil}/reconciliations",
        f"/deletions/{nil}",
        f"/provisioning/{nil}",
    ):
        assert (await operator.ask("GET", path)).status_code == 404, path
    assert (await operator.ask("POST", f"{PATH}/{nil}/reconciliations", json={})).status_code == 404
    assert await operator.listed(RUNS) == []


async def test_the_command_line_shows_the_same(
    service: Harness, company: Company, operator: Operator, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = CommandLine(service, commands, monkeypatch)
    shown = await operator.get(f"{PATH}/{name_of(company)}")
    assert await line.run("show", name_of(company)) == [shown]
    assert await line.run("list") == [shown]
    assert await line.run("list", "--stuck") == await line.run("list", "--status", "unpaid") == []
    await line.run("show", to_text(Kind.TENANT, new_id()), status=2)
    told = await records_of(service, office, {"type": "operator", "id": "root"})
    assert {(True, "billing list"), (False, "billing show")} <= set(told)
