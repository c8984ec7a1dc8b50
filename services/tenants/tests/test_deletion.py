"""Deletion of a tenant: scheduled by its owner, cancelled, carried out when due, certified at the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office, ScriptedStripe
from typer.testing import CliRunner

from common.bus.handling import Handling
from common.context import SystemContext
from common.contracts import tenants as events
from common.contracts.envelope import Envelope
from common.contracts.tenants import ErasedRows, KeptRows, TenantErased
from common.db.session import TenantSession
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, bearer
from tenants.__main__ import SERVICE
from tenants.billing.worker import Clerk
from tenants.deletion.commands import commands
from tenants.deletion.rules import SERVICES
from tenants.deletion.worker import Registrar
from tenants.lifecycle.service import reactivate, suspend
from tenants.tenant.queries import lock_company

NAME = {"company_name": "Acme Ltd"}
RETENTION_DAYS = 7


class Owner:
    """The owner of a company, at its deletion."""

    def __init__(self, service: Harness, office: Office, company: Company) -> None:
        self.service, self.office, self.company = service, office, company
        self.tenant_id = company.tenant.tenant_id

    async def ask(self, method: str, token: str | None = None, **extra: Any) -> Any:
        headers = bearer(token or self.company.tenant.token)
        url = f"{self.company.url}/deletion"
        return await self.service.client.request(method, url, headers=headers, **extra)

    async def hear(self, name: str) -> Any:
        """Let the service hear of its own newest event of this name."""
        told = (await self.office.emitted(self.tenant_id, name))[-1]
        event = getattr(events, told.pop("type")).model_validate(told)
        await self.office.hear(self.tenant_id, event)
        return event

    async def change(self, statement: str) -> None:
        await self.office.fetch(statement, self.tenant_id)

    async def row(self) -> dict[str, Any] | None:
        rows = await self.office.fetch(
            "SELECT d.*, t.status, t.version FROM tenants.deletions AS d "
            "LEFT JOIN tenants.tenants AS t USING (tenant_id) WHERE tenant_id = $1",
            self.tenant_id,
        )
        return dict(rows[0]) if rows else None

    async def be_due(self) -> None:
        await self.change("UPDATE tenants.deletions SET erase_at = now() WHERE tenant_id = $1")


@pytest.fixture
async def owner(service: Harness, office: Office) -> Owner:
    return Owner(service, office, await found(service, "starter"))


@pytest.fixture
async def registrar(service: Harness, stripe: ScriptedStripe) -> AsyncIterator[Registrar]:
    made = Registrar(service.kernel.database, stripe, RETENTION_DAYS)  # type: ignore[arg-type]
    yield made
    await made.rounds.finish()


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


def erased(owner: Owner, service: str, rows: int = 3) -> TenantErased:
    return TenantErased(
        tenant_id=owner.tenant_id,
        version=3,
        service=service,
        erased=(ErasedRows(table=f"{service}.things", rows=rows),),
        kept=(KeptRows(what="tenancy.tenants", why="the id"),),
    )


async def report(owner: Owner, service: Harness, event: TenantErased) -> None:
    """Let the service hear of another's erasure the way its consumer does."""
    envelope = Envelope(
        event_id=new_id(),
        source=event.service,
        type=event.ce_type(),
        time=datetime.now(tz=UTC),
        subject=event.subject,
        tenant_id=owner.tenant_id,
        sequence=1,
        data=event.model_dump_json().encode(),
    )
    handling = Handling("tenants", service.kernel.database, SERVICE.handlers)
    await handling.apply(event.TOPIC, envelope)


async def test_the_certificate_waits_for_every_service_and_for_their_events_to_run_out(
    owner: Owner,
    service: Harness,
    office: Office,
    registrar: Registrar,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    await owner.hear("TenantDeleted")
    first, *others = sorted(SERVICES)
    for name in others:
        await report(owner, service, erased(owner, name))
        await report(owner, service, erased(owner, name, rows=99))  # told again: the first report counts
    row = await owner.row()
    assert row is not None
    assert row["erased_at"] is None
    await report(owner, service, erased(owner, first))
    row = await owner.row()
    assert row is not None
    assert row["erased_at"] is not None
    await registrar.work_on(owner.tenant_id)
    assert await office.emitted(owner.tenant_id, "TenantDeletionCertified") == []

    await owner.change(
        "UPDATE tenants.deletions SET erased_at = now() - interval '10 days' WHERE tenant_id = $1"
    )
    for _ in range(2):
        await registrar.work_on(owner.tenant_id)
    (told,) = await office.emitted(owner.tenant_id, "TenantDeletionCertified")
    assert (told["services"], told["rows"]) == (sorted(SERVICES), 3 * len(SERVICES))
    row = await owner.row()
    assert row is not None
    certificate = json.loads(row["certificate"])
    assert certificate["tenant_id"] == to_text(Kind.TENANT, owner.tenant_id)
    assert certificate["services"]["auth"]["erased"] == {"auth.things": 3}
    assert certificate["services"]["auth"]["kept"] == {"tenancy.tenants": "the id"}

    monkeypatch.setattr("tenants.deletion.commands.from_environment", lambda _: service.kernel.settings)
    printed = await _run("certificate", to_text(Kind.TENANT, owner.tenant_id))
    assert json.loads(printed) == certificate


async def _run(*words: str) -> str:
    """A command of the operators', in a loop of its own."""
    result = await asyncio.to_thread(CliRunner().invoke, commands, list(words))
    assert result.exit_code == 0, result.output
    return result.output


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
    await owner.change("UPDATE tenants.subscriptions SET claim = NULL WHERE tenant_id = $1")
    await registrar.work_on(owner.tenant_id)
    assert len(await office.emitted(owner.tenant_id, "TenantDeleted")) == 1


async def test_what_is_due_cannot_be_cancelled_any_more(owner: Owner, office: Office) -> None:
    """Whatever ends first, what the owner pays for may have ended by now."""
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    assert (await owner.ask("DELETE")).status_code == 404
    assert await office.emitted(owner.tenant_id, "TenantDeletionCancelled") == []


async def test_reports_about_a_tenant_that_stays_change_nothing(owner: Owner, service: Harness) -> None:
    await owner.ask("POST", json=NAME)
    await report(owner, service, erased(owner, "auth"))
    reports = "SELECT * FROM tenants.erasure_reports WHERE tenant_id = $1"
    assert await owner.office.fetch(reports, owner.tenant_id) == []


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
