"""Deletions over HTTP for operators: how far each is, and the next step now; never before the grace ends."""

import asyncio
from typing import Any

import pytest
from services.tenants.tests.leaving import NAME, Owner, erased, report
from services.tenants.tests.operating import CommandLine, Operator, records_of
from services.tenants.tests.world import Office, ScriptedStripe

from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.testing.harness import Harness
from tenants.billing.worker import Clerk
from tenants.deletion.commands import commands
from tenants.deletion.rules import SERVICES
from tenants.deletion.worker import Registrar

PATH = "/deletions"


@pytest.fixture
def operator(service: Harness) -> Operator:
    return Operator(service)


@pytest.fixture
async def path(owner: Owner, clerk: Clerk) -> str:
    """Of the deletion that the owner has asked for."""
    await owner.office.make_due(owner.tenant_id)
    await clerk.work_on(owner.tenant_id)
    await owner.ask("POST", json=NAME)
    return f"{PATH}/{to_text(Kind.TENANT, owner.tenant_id)}"


async def where_listed(operator: Operator, owner: Owner) -> set[str]:
    """The filters that show the deletion."""
    found: set[str] = set()
    filters: list[dict[str, Any]] = [{"status": s} for s in ("scheduled", "under_way", "certified")]
    for params in (*filters, {"stuck": True}):
        items = await operator.listed(PATH, **params)
        assert all(item["status"] == params.get("status", item["status"]) for item in items)
        if to_text(Kind.TENANT, owner.tenant_id) in [item["tenant_id"] for item in items]:
            found |= {str(value) for value in params.values()}
    return found


async def test_a_deletion_is_followed_to_its_certificate(
    path: str,
    operator: Operator,
    owner: Owner,
    service: Harness,
    registrar: Registrar,
    stripe: ScriptedStripe,
) -> None:
    shown = await operator.get(path)
    assert (shown["status"], shown["missing"], shown["certificate"]) == ("scheduled", [], None)
    assert await where_listed(operator, owner) == {"scheduled"}
    await owner.be_due()
    stripe.failures.append("stripe_status_400")
    await registrar.work_on(owner.tenant_id)
    shown = await operator.get(path)
    assert (shown["status"], shown["problem"], shown["attempts"]) == ("under_way", "stripe_status_400", 1)
    assert await where_listed(operator, owner) == {"under_way", "True"}
    await operator.post(f"{path}/run")
    await registrar.work_on(owner.tenant_id)
    for name in sorted(SERVICES - {"audit"}):
        await report(owner, service, erased(owner, name))
    shown = await operator.get(path)
    assert (shown["problem"], shown["missing"]) == (None, ["audit"])
    assert shown["reported"] == sorted(SERVICES - {"audit"})
    await report(owner, service, erased(owner, "audit"))
    await owner.change(
        "UPDATE tenants.deletions SET erased_at = now() - interval '10 days' WHERE tenant_id = $1"
    )
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    shown = await operator.get(path)
    assert (shown["status"], shown["certificate"]["services"].keys()) == ("certified", SERVICES)
    assert await where_listed(operator, owner) == {"certified"}
    before = await owner.row()
    await operator.post(f"{path}/run")
    assert await owner.row() == before, "what is certified is left alone"


async def test_missing_reports_are_asked_for_again_at_once(
    path: str, operator: Operator, owner: Owner, office: Office, registrar: Registrar, service: Harness
) -> None:
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    await registrar.work_on(owner.tenant_id)
    assert await office.emitted(owner.tenant_id, "TenantErasureAwaited") == [], "it is not due yet"
    await asyncio.gather(*(one.post(f"{path}/run") for one in (operator, Operator(service))))
    await registrar.work_on(owner.tenant_id)
    (awaited,) = await office.emitted(owner.tenant_id, "TenantErasureAwaited")
    assert awaited["services"] == sorted(SERVICES)
    resumed = await office.emitted(owner.tenant_id, "TenantDeletionResumed")
    assert operator.actor in [event["meta"]["actor"] for event in resumed]


async def test_the_grace_is_the_owners(
    path: str, operator: Operator, owner: Owner, office: Office, registrar: Registrar, service: Harness
) -> None:
    """An operator neither shortens it nor cancels; that they tried is in the tenant's log."""
    before = await operator.get(path)
    assert await operator.post(f"{path}/run") == before
    await registrar.work_on(owner.tenant_id)
    assert (await operator.get(path))["status"] == "scheduled"
    assert await office.emitted(owner.tenant_id, "TenantDeletionResumed") == []
    run = "/api/v1/platform/deletions/{tenant_id}/run"
    assert (False, run) in await records_of(service, office, operator.actor)
    assert (await operator.ask("DELETE", path)).status_code == 405


async def test_there_is_nothing_to_run_of_who_stays(
    operator: Operator, owner: Owner, service: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of a tenant that never was, at the command line too."""
    line = CommandLine(service, commands, monkeypatch)
    for tenant_id in (owner.tenant_id, new_id()):
        tenant = to_text(Kind.TENANT, tenant_id)
        answer = await operator.ask("POST", f"{PATH}/{tenant}/run")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert await line.run("run", tenant, status=2) == []


@pytest.mark.parametrize("kind", ["deletions", "billing", "provisioning"])
async def test_a_look_that_finds_nothing_is_recorded(operator: Operator, office: Office, kind: str) -> None:
    tenant = to_text(Kind.TENANT, new_id())
    assert (await operator.ask("GET", f"/{kind}/{tenant}")).status_code == 404
    missed = (await office.emitted(PLATFORM_TENANT, "AccessMissed"))[-1]
    assert (missed["actor"], missed["target"]["id"]) == (operator.actor, tenant)
