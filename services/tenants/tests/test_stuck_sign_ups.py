"""Sign-ups that are stuck: found, explained, resumed; by operators, in the audit log."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office, ScriptedStripe
from typer.testing import CliRunner

from common import clock
from common.contracts.auth import WelcomeMailDelayed, WelcomeMailRefused, WelcomeMailSent
from common.ids import Kind, new_id, to_text
from common.metric_names import SIGN_UPS_AGE, SIGN_UPS_UNFINISHED
from common.testing.harness import Harness
from common.testing.measuring import value_of
from tenants.billing.worker import Clerk
from tenants.provisioning import commands
from tenants.provisioning.rules import STUCK_AFTER, is_stuck
from tenants.provisioning.watch import look

Ask = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def ask(service: Harness, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs `python -m tenants provisioning …` beside us; what it prints."""
    monkeypatch.setattr(commands, "from_environment", lambda _: service.kernel.settings)

    def run(*words: str, status: int = 0) -> list[dict[str, Any]]:
        result = CliRunner().invoke(commands.commands, list(words), catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert status == 0 or words[-1] in result.stderr, "it says which"
        return [json.loads(line) for line in result.stdout.splitlines()]

    return lambda *words, status=0: asyncio.to_thread(run, *words, status=status)


@pytest.fixture
async def company(service: Harness, office: Office) -> Company:
    """Nobody else's sign-up is unfinished: others' would be listed each time."""
    await office.fetch("UPDATE tenants.provisionings SET finished_at = now() WHERE finished_at IS NULL")
    return await found(service, "starter")


def name_of(company: Company) -> str:
    return to_text(Kind.TENANT, company.tenant.tenant_id)


async def step_shown(ask: Ask, company: Company, name: str) -> dict[str, Any]:
    (sign_up,) = await ask("show", name_of(company))
    (step,) = [step for step in sign_up["steps"] if step["name"] == name]
    return step


async def listed(ask: Ask, company: Company, *options: str) -> bool:
    return name_of(company) in {sign_up["tenant_id"] for sign_up in await ask("list", *options)}


async def publish_all(office: Office, company: Company) -> None:
    """Be the relay: take away what waits in the outbox."""
    await office.fetch("DELETE FROM tenancy.outbox WHERE tenant_id = $1", company.tenant.tenant_id)


def test_slow_is_not_stuck() -> None:
    now = clock.now()
    assert not is_stuck("running", now - STUCK_AFTER + timedelta(seconds=1), now)
    assert is_stuck("running", now - STUCK_AFTER, now)
    assert is_stuck("failed", now, now)
    assert not is_stuck("done", now - STUCK_AFTER, now)


async def test_an_old_unfinished_sign_up_is_found_and_explained(
    company: Company, office: Office, ask: Ask
) -> None:
    assert await listed(ask, company)
    assert not await listed(ask, company, "--stuck")
    await office.fetch(
        "UPDATE tenants.provisionings SET started_at = now() - interval '2 minutes' WHERE tenant_id = $1",
        company.tenant.tenant_id,
    )
    assert await listed(ask, company, "--stuck")
    assert "not published" in (await step_shown(ask, company, "owner_account"))["explanation"]
    await publish_all(office, company)
    for name, service in (("owner_account", "auth"), ("default_workspace", "workspaces")):
        assert f"{service} has not answered" in (await step_shown(ask, company, name))["explanation"]
    assert (await step_shown(ask, company, "welcome_mail"))["explanation"] == "waits for owner_account"
    assert (await step_shown(ask, company, "record"))["explanation"] is None


async def test_a_resumption_is_an_operators_event_and_repeats_nothing(
    company: Company, office: Office, ask: Ask
) -> None:
    for _ in range(2):
        (answer,) = await ask("resume", name_of(company), "--by", "ops@penguinmails")
        assert answer["resumed"] == ["owner_account", "default_workspace", "billing", "welcome_mail"]
    told = await office.emitted(company.tenant.tenant_id)
    assert [event["type"] for event in told] == ["TenantProvisioned", *["ProvisioningResumed"] * 2]
    assert [event["meta"]["actor"] for event in told[1:]] == [
        {"type": "operator", "id": "ops@penguinmails"}
    ] * 2


async def test_a_failing_step_shows_its_error_and_is_tried_at_once_when_resumed(
    company: Company, office: Office, ask: Ask, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    stripe.failures = ["card_declined"]
    await office.make_due(tenant_id)
    await clerk.work_on(tenant_id)
    step = await step_shown(ask, company, "billing")
    assert (step["status"], step["attempts"], step["error"]) == ("running", 1, "card_declined")
    assert step["next_attempt_at"]
    assert "another by itself" in step["explanation"]
    await clerk.work_on(tenant_id)
    assert not stripe.customers, "not due yet"
    await ask("resume", name_of(company))
    await clerk.work_on(tenant_id)
    assert len(stripe.customers) == 1
    step = await step_shown(ask, company, "billing")
    assert (step["status"], step["attempts"], step["error"], step["next_attempt_at"]) == (
        "done",
        2,
        None,
        None,
    )


async def test_a_refused_mail_is_stuck_until_it_is_resumed(
    company: Company, office: Office, ask: Ask
) -> None:
    mail = {"tenant_id": company.tenant.tenant_id, "user_id": company.tenant.owner_id, "version": 1}
    later = clock.now() + timedelta(minutes=1)
    delayed = WelcomeMailDelayed(**mail, attempts=1, reason="server_away", next_attempt_at=later)
    await office.hear(company.tenant.tenant_id, delayed)
    step = await step_shown(ask, company, "welcome_mail")
    assert (step["status"], step["attempts"], step["error"]) == ("running", 1, "mail_server_away")
    assert step["next_attempt_at"] == clock.rfc3339(later)
    await office.hear(company.tenant.tenant_id, WelcomeMailRefused(**mail, attempts=2, code=550))
    step = await step_shown(ask, company, "welcome_mail")
    assert (step["status"], step["attempts"], step["error"]) == ("failed", 2, "mail_refused_550")
    assert "resume" in step["explanation"]
    assert await listed(ask, company, "--stuck")
    await ask("resume", name_of(company))
    assert (await step_shown(ask, company, "welcome_mail"))["status"] == "running"
    assert not await listed(ask, company, "--stuck")
    await office.hear(company.tenant.tenant_id, WelcomeMailSent(**mail, attempts=3))
    assert (await step_shown(ask, company, "welcome_mail"))["error"] is None


async def test_what_is_done_is_left_alone(
    company: Company, office: Office, ask: Ask, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    await office.make_due(tenant_id)
    await clerk.work_on(tenant_id)
    await office.hear(tenant_id, *await office.answers_of_others(tenant_id))
    assert not await listed(ask, company)
    assert (await ask("resume", name_of(company)))[0]["resumed"] == []
    assert not await office.emitted(tenant_id, "ProvisioningResumed")
    for command in ("show", "resume"):
        assert await ask(command, to_text(Kind.TENANT, new_id()), status=2) == []


async def test_unfinished_sign_ups_and_the_age_of_the_oldest_are_measured(
    service: Harness, office: Office, company: Company
) -> None:
    set_to = "UPDATE tenants.provisionings SET finished_at = {} WHERE tenant_id = $1"
    await office.fetch(set_to.format("now()"), company.tenant.tenant_id)
    await look(service.kernel)
    assert value_of(SIGN_UPS_UNFINISHED) == value_of(SIGN_UPS_AGE) == 0
    await office.fetch(set_to.format("NULL"), company.tenant.tenant_id)
    await look(service.kernel)
    assert value_of(SIGN_UPS_UNFINISHED) == 1
    assert 0 < value_of(SIGN_UPS_AGE) < 600
