"""Deletion of a tenant: scheduled by its owner, cancelled, carried out when due, certified at the end."""

from datetime import UTC, datetime, timedelta

import pytest
from services.tenants.tests.company import found
from services.tenants.tests.leaving import NAME, Owner
from services.tenants.tests.world import Office, ScriptedStripe

from common.context import SystemContext
from common.db.session import TenantSession
from common.ids import Kind, to_text
from common.testing.harness import Harness
from tenants.billing.gateway import BillingFailed
from tenants.billing.worker import Clerk
from tenants.deletion.rules import retry_delay
from tenants.deletion.service import begin_step, put_off
from tenants.deletion.worker import Registrar
from tenants.lifecycle.service import reactivate, suspend
from tenants.tenant.queries import lock_company


async def test_a_deletion_is_scheduled_shown_and_cancelled(owner: Owner) -> None:
    nothing = (await owner.ask("GET")).json()
    assert (nothing["status"], nothing["erase_at"]) == ("none", None)
    assert (await owner.ask("DELETE")).status_code == 204, "it is to stay anyway"
    answer = await owner.ask("POST", json=NAME)
    assert answer.status_code == 201, answer.text
    until = datetime.fromisoformat(answer.json()["erase_at"]) - datetime.now(tz=UTC)
    assert timedelta(days=29, hours=23) < until < timedelta(days=30)
    scheduled = await owner.hear("TenantDeletionScheduled")
    assert scheduled.meta.actor.id == to_text(Kind.USER, owner.company.tenant.owner_id)
    assert (await owner.ask("GET")).json() == answer.json()
    assert (await owner.ask("POST", json=NAME)).json()["code"] == "deletion_scheduled"

    refused = await owner.company.patch({"timezone": "Europe/Paris"})
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")
    assert (await owner.company.get("/settings")).status_code == 200

    assert (await owner.ask("DELETE")).status_code == 204
    assert (await owner.hear("TenantDeletionCancelled")).status == "active"
    assert len(await owner.office.emitted(owner.tenant_id, "TenantDeletionCancelled")) == 1
    assert (await owner.ask("GET")).json() == nothing
    assert (await owner.company.patch({"timezone": "Europe/Paris"})).status_code == 200


@pytest.mark.parametrize("name", ["acme ltd", "Acme", "Other Ltd"])
async def test_another_name_deletes_nothing(owner: Owner, name: str) -> None:
    answer = await owner.ask("POST", json={"company_name": name})
    assert (answer.status_code, answer.json()["code"]) == (422, "company_name_mismatch")
    assert await owner.row() is None


async def test_nobody_but_owners_decides(owner: Owner, service: Harness) -> None:
    _, admin = await service.make_user(owner.company.tenant, "admin")
    for method in ("GET", "POST", "DELETE"):
        answer = await owner.ask(method, admin, **({"json": NAME} if method == "POST" else {}))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_suspended_tenant_can_go_and_stays_suspended_when_it_stays(
    owner: Owner, service: Harness
) -> None:
    context = SystemContext(owner.tenant_id, "job", "tenants")
    async with service.kernel.database.tenant(context) as session:
        await suspend(session, await lock_company(session), "unpaid")
        await session.commit()
    await owner.hear("TenantSuspended")
    assert (await owner.ask("POST", json=NAME)).status_code == 201
    await owner.hear("TenantDeletionScheduled")
    assert (await owner.ask("DELETE")).status_code == 204
    assert (await owner.hear("TenantDeletionCancelled")).status == "suspended"
    async with service.kernel.database.tenant(context) as session:
        await reactivate(session, await lock_company(session), "unpaid")
        await session.commit()
    await owner.hear("TenantReactivated")
    assert (await owner.company.patch({"timezone": "Europe/Paris"})).status_code == 200


async def test_only_what_is_due_is_deleted_once_and_not_cancelled_any_more(
    owner: Owner, service: Harness, office: Office, registrar: Registrar
) -> None:
    other = Owner(service, office, await found(service, "starter"))
    for one in (owner, other):
        await one.ask("POST", json=NAME)
        await one.hear("TenantDeletionScheduled")
    await owner.be_due()
    for _ in range(2):
        await registrar.work_on(owner.tenant_id)
        await registrar.work_on(other.tenant_id)
    (deleted,) = await office.emitted(owner.tenant_id, "TenantDeleted")
    assert await office.emitted(other.tenant_id, "TenantDeleted") == []
    row = await owner.row()
    assert row is not None
    assert (row["status"], row["version"]) == ("deleted", deleted["version"])
    assert (await owner.ask("DELETE")).status_code == 404
    await owner.hear("TenantDeleted")
    assert (await owner.ask("GET")).status_code == 401
    assert (await other.ask("GET")).status_code == 200


async def test_due_deletions_are_found(owner: Owner, office: Office, registrar: Registrar) -> None:
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.rounds.step()
    await registrar.rounds.finish()
    assert len(await office.emitted(owner.tenant_id, "TenantDeleted")) == 1


async def test_an_interrupted_deletion_is_told_when_it_is_resumed(
    owner: Owner, office: Office, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.ask("POST", json=NAME)
    await owner.be_due()

    async def killed(session: TenantSession) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(TenantSession, "commit", killed)
    with pytest.raises(ConnectionResetError):
        await registrar.work_on(owner.tenant_id)
    monkeypatch.undo()
    assert await office.emitted(owner.tenant_id, "TenantDeleted") == []
    await registrar.work_on(owner.tenant_id)
    assert len(await office.emitted(owner.tenant_id, "TenantDeleted")) == 1


async def test_whoever_is_late_at_a_step_that_another_took_changes_nothing(
    owner: Owner, service: Harness, registrar: Registrar
) -> None:
    """An operator may hasten a step that somebody is at."""
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    taken = await owner.row()
    assert taken is not None
    assert taken["deleted_at"] is not None
    async with service.kernel.database.tenant(SystemContext(owner.tenant_id, "job", "tenants")) as session:
        await put_off(session, "stripe_unavailable")
        await session.commit()
    assert await owner.row() == taken


async def subscribe(owner: Owner, clerk: Clerk, stripe: ScriptedStripe) -> str:
    await owner.office.make_due(owner.tenant_id)
    await clerk.work_on(owner.tenant_id)
    ((subscription_id, _, _),) = stripe.subscriptions
    return subscription_id


async def test_nobody_is_deleted_who_is_still_charged(
    owner: Owner, office: Office, registrar: Registrar, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    subscription_id = await subscribe(owner, clerk, stripe)
    await owner.ask("POST", json=NAME)
    await registrar.work_on(owner.tenant_id)
    assert stripe.canceled == [], "it is not due"
    await owner.be_due()
    stripe.failures.append("stripe_unreachable")
    await registrar.work_on(owner.tenant_id)
    assert await office.emitted(owner.tenant_id, "TenantDeleted") == []
    assert (await owner.row() or {})["problem"] == "stripe_unreachable"
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    assert stripe.canceled == [subscription_id]
    assert len(await office.emitted(owner.tenant_id, "TenantDeleted")) == 1
    assert await clerk.claim(owner.tenant_id, at_once=True) is None, "its billing is over for good"


async def test_what_a_killed_attempt_left_at_stripe_is_not_charged_either(
    owner: Owner, office: Office, registrar: Registrar, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    subscription_id = await subscribe(owner, clerk, stripe)
    await owner.change(
        "UPDATE tenants.subscriptions SET customer_id = NULL, subscription_id = NULL WHERE tenant_id = $1"
    )
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    assert stripe.canceled == [subscription_id]
    assert len(await office.emitted(owner.tenant_id, "TenantDeleted")) == 1


async def test_a_deletion_waits_for_who_is_at_stripe(
    owner: Owner, office: Office, registrar: Registrar, clerk: Clerk
) -> None:
    await owner.ask("POST", json=NAME)
    assert await clerk.claim(owner.tenant_id, at_once=True) is not None
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    assert await office.emitted(owner.tenant_id, "TenantDeleted") == []
    assert (await owner.row() or {})["problem"] == "billing_busy"
    await owner.change("UPDATE tenants.subscriptions SET claim = NULL WHERE tenant_id = $1")
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    assert len(await office.emitted(owner.tenant_id, "TenantDeleted")) == 1


async def test_what_is_due_cannot_be_cancelled_any_more(owner: Owner, office: Office) -> None:
    """Whatever ends first, what the owner pays for may have ended by now."""
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    assert (await owner.ask("DELETE")).status_code == 404
    assert await office.emitted(owner.tenant_id, "TenantDeletionCancelled") == []


async def test_nothing_is_recalled_once_it_has_begun(
    owner: Owner, registrar: Registrar, clerk: Clerk, stripe: ScriptedStripe, office: Office
) -> None:
    """Not even by a process whose clock is behind: what the owner pays for has ended."""
    await subscribe(owner, clerk, stripe)
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    stripe.failures.append("stripe_unreachable")
    await registrar.work_on(owner.tenant_id)
    await owner.change("UPDATE tenants.deletions SET erase_at = now() + interval '1 h' WHERE tenant_id = $1")
    assert (await owner.ask("DELETE")).status_code == 404
    assert await office.emitted(owner.tenant_id, "TenantDeletionCancelled") == []


async def test_the_grace_is_measured_by_the_databases_clock(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.clock.now", lambda: datetime(2090, 1, 1, tzinfo=UTC))
    answer = await owner.ask("POST", json=NAME)
    monkeypatch.undo()
    until = datetime.fromisoformat(answer.json()["erase_at"]) - datetime.now(tz=UTC)
    assert timedelta(days=29, hours=23) < until < timedelta(days=30, seconds=5)


async def test_whom_stripe_refuses_for_ever_keeps_no_other_waiting(
    owner: Owner,
    service: Harness,
    office: Office,
    registrar: Registrar,
    clerk: Clerk,
    stripe: ScriptedStripe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = [owner, *[Owner(service, office, await found(service, "starter")) for _ in range(4)]]
    for one in refused:
        await one.office.make_due(one.tenant_id)
        await clerk.work_on(one.tenant_id)
        await one.ask("POST", json=NAME)
        await one.be_due()
    never_charged = Owner(service, office, await found(service, "starter"))
    await never_charged.ask("POST", json=NAME)
    await never_charged.be_due()

    async def refuse(subscription_id: str) -> None:
        raise BillingFailed("stripe_status_400")

    monkeypatch.setattr(stripe, "cancel_subscription", refuse)
    for _ in range(3):
        await registrar.rounds.step()
        await registrar.rounds.finish()
    assert len(await office.emitted(never_charged.tenant_id, "TenantDeleted")) == 1
    assert [(await one.row() or {})["deleted_at"] for one in refused] == [None] * len(refused)


async def test_the_pause_of_one_that_is_refused_grows(
    owner: Owner, registrar: Registrar, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    await subscribe(owner, clerk, stripe)
    await owner.ask("POST", json=NAME)
    pauses: list[float] = []
    for _ in range(5):
        await owner.be_due()
        stripe.failures.append("stripe_status_400")
        await registrar.work_on(owner.tenant_id)
        row = await owner.row() or {}
        pauses.append((row["next_step_at"] - datetime.now(tz=UTC)).total_seconds())
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16]
    assert retry_delay(1000) == timedelta(hours=1)


async def test_one_step_is_taken_by_one_process_at_a_time(
    owner: Owner, service: Harness, registrar: Registrar
) -> None:
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    context = SystemContext(owner.tenant_id, "job", "tenants")
    async with service.kernel.database.tenant(context) as session:
        assert await begin_step(session) is not None
        await session.commit()
    await registrar.work_on(owner.tenant_id)
    assert (await owner.row() or {})["deleted_at"] is None


async def test_the_key_that_made_the_tenant_is_forgotten(
    owner: Owner, service: Harness, office: Office, registrar: Registrar
) -> None:
    key = "SELECT count(*) FROM tenants.sign_up_keys WHERE new_tenant_id = $1"
    await office.fetch(
        "INSERT INTO tenants.sign_up_keys (tenant_id, key_hash, request_hash, new_tenant_id, owner_user_id, "
        "default_workspace_id) VALUES ('00000000-0000-0000-0000-000000000000', sha256($1::text::bytea), "
        "sha256('request'), $2, $2, $2)",
        *(str(owner.tenant_id), owner.tenant_id),
    )
    assert (await office.fetch(key, owner.tenant_id))[0][0] == 1
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    assert (await office.fetch(key, owner.tenant_id))[0][0] == 0
