"""`python -m tenants deletion …`: what operators see of deletions, and how they help one on."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from services.tenants.tests.leaving import NAME, Owner, erased, report
from services.tenants.tests.world import Office, ScriptedStripe
from typer.testing import CliRunner

from common.ids import PLATFORM_TENANT, Kind, to_text
from common.testing.harness import Harness
from tenants.billing.worker import Clerk
from tenants.deletion.commands import commands
from tenants.deletion.rules import SERVICES
from tenants.deletion.worker import Registrar

Run = Callable[..., Awaitable[list[Any]]]


@pytest.fixture
def run(service: Harness, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command, in a loop of its own, and returns what it prints."""
    monkeypatch.setattr("tenants.deletion.commands.from_environment", lambda _: service.kernel.settings)

    async def invoke(*words: str, status: int = 0) -> list[Any]:
        result = await asyncio.to_thread(CliRunner().invoke, commands, [*words, "--by", "root"])
        assert result.exit_code == status, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return invoke


async def reads(office: Office, owner: Owner) -> list[tuple[str, str]]:
    """Who read about the tenant at the command line, and with which command."""
    events = await office.emitted(owner.tenant_id, "AccessRecorded")
    records = [record for event in events for record in event["records"]]
    return [
        (one["actor"]["id"], one["request"]["route"]) for one in records if one["actor"]["type"] == "operator"
    ]


async def test_a_deletion_that_is_held_up_is_found_and_helped_on(
    run: Run, owner: Owner, office: Office, registrar: Registrar, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant = to_text(Kind.TENANT, owner.tenant_id)
    for words in (("show", tenant), ("run", tenant)):
        assert await run(*words, status=2) == [], "nobody has asked for it"
    await owner.office.make_due(owner.tenant_id)
    await clerk.work_on(owner.tenant_id)
    await owner.ask("POST", json=NAME)
    (early,) = await run("run", tenant)
    assert early["next_step_at"] == early["erase_at"], "never before the grace is over"
    assert await office.emitted(owner.tenant_id, "TenantDeletionResumed") == []
    assert tenant in [one["tenant_id"] for one in await run("list")]
    assert tenant not in [one["tenant_id"] for one in await run("list", "--stuck")]

    await owner.be_due()
    stripe.failures.append("stripe_status_400")
    await registrar.work_on(owner.tenant_id)
    (found,) = [one for one in await run("list", "--stuck") if one["tenant_id"] == tenant]
    assert (found["problem"], found["attempts"], found["missing"]) == ("stripe_status_400", 1, [])
    await owner.change(
        "UPDATE tenants.deletions SET next_step_at = now() + interval '1 h' WHERE tenant_id = $1"
    )
    await run("run", tenant)
    await registrar.work_on(owner.tenant_id)
    (found,) = await run("show", tenant)
    assert (found["problem"], found["reported"], found["missing"]) == (None, [], sorted(SERVICES))
    (resumed,) = await office.emitted(owner.tenant_id, "TenantDeletionResumed")
    assert resumed["meta"]["actor"] == {"type": "operator", "id": "root"}
    assert await reads(office, owner) == [("root", "deletion show")]
    lists = await office.emitted(PLATFORM_TENANT, "AccessRecorded")
    assert lists[-1]["records"][0]["request"]["route"] == "deletion list"


async def test_the_certificate_is_printed_when_there_is_one(
    run: Run, owner: Owner, service: Harness, registrar: Registrar, office: Office
) -> None:
    tenant = to_text(Kind.TENANT, owner.tenant_id)
    assert await run("certificate", tenant, status=1) == []
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    for name in SERVICES:
        await report(owner, service, erased(owner, name))
    assert await run("certificate", tenant, status=1) == []
    await owner.change(
        "UPDATE tenants.deletions SET erased_at = now() - interval '10 days' WHERE tenant_id = $1"
    )
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    (printed,) = await run("certificate", tenant)
    assert printed == json.loads((await owner.row() or {})["certificate"])
    assert tenant not in [one["tenant_id"] for one in await run("list")]
    assert await reads(office, owner) == [("root", "deletion certificate")] * 2
