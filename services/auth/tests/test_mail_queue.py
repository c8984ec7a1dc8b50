"""The queue: every mail leaves, in one copy, whatever the server says and the database does."""

import asyncio
import re
from datetime import datetime

from services.auth.tests.office import Office, ScriptedServer, deliver_until

from auth.mail.gateway import MailServer, NotNow, Refused, ServerAway
from auth.mail.rules import retry_delay
from auth.mail.worker import Postman
from auth.settings import settings_of
from common.contracts.tenants import ProvisioningResumed
from common.testing.harness import Harness


async def test_a_mail_leaves_once_and_tells(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    tenant = await service.make_tenant("Acme")
    await deliver_until(postman, lambda: bool(mail_server.taken))
    await postman.rounds.step()
    ((message, sender, recipient),) = mail_server.taken
    assert sender == "no-reply@penguinmails.test"
    assert recipient == f"{tenant.owner_id.hex}@example.com"
    row = await office.mail_of(tenant.tenant_id)
    assert (row["state"], row["attempts"], row["claim"]) == ("sent", 1, None)
    assert message["Message-ID"] == f"<{row['mail_id']}@penguinmails.test>"
    (event,) = await office.emitted(tenant.tenant_id, "WelcomeMailSent")
    assert event["attempts"] == 1


async def test_no_table_holds_the_secret_of_the_link(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    tenant = await service.make_tenant()
    await deliver_until(postman, lambda: bool(mail_server.taken))
    found = re.search(r"\?token=([A-Za-z0-9_.-]+)", mail_server.taken[0][0].as_string())
    assert found is not None
    stored = [
        str(await office.fetch(f"SELECT * FROM auth.{table} WHERE tenant_id = $1", tenant.tenant_id))
        for table in ("mails", "password_tokens")
    ]
    assert not any(found[1] in text or found[1][-20:] in text for text in stored)


async def test_a_server_that_is_away_or_busy_gets_the_mail_later(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    mail_server.answers = [ServerAway(), NotNow()]
    tenant = await service.make_tenant()
    await deliver_until(postman, lambda: len(mail_server.answers) == 1)
    waiting = await office.mail_of(tenant.tenant_id)
    assert (waiting["state"], waiting["error"]) == ("queued", "server_away")
    (told,) = await office.emitted(tenant.tenant_id, "WelcomeMailDelayed")
    assert (told["attempts"], told["reason"]) == (1, "server_away")
    assert datetime.fromisoformat(told["next_attempt_at"]) == waiting["next_attempt_at"]
    postman._wait_until = 0.0
    await office.make_due(tenant.tenant_id)
    await deliver_until(postman, lambda: not mail_server.answers)
    assert (await office.mail_of(tenant.tenant_id))["error"] == "deferred"
    await office.make_due(tenant.tenant_id)
    await deliver_until(postman, lambda: bool(mail_server.taken))
    row = await office.mail_of(tenant.tenant_id)
    assert (row["state"], row["attempts"], row["error"]) == ("sent", 3, None)
    assert len(mail_server.taken) == 1


async def test_a_refused_mail_is_not_tried_again(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    mail_server.answers = [Refused(550)]
    tenant = await service.make_tenant()
    await deliver_until(postman, lambda: not mail_server.answers)
    await office.make_due(tenant.tenant_id)
    await postman.rounds.step()
    assert mail_server.taken == []
    assert (await office.mail_of(tenant.tenant_id))["state"] == "refused"
    (event,) = await office.emitted(tenant.tenant_id, "WelcomeMailRefused")
    assert event["code"] == 550


async def test_an_operator_has_a_refused_welcome_mail_sent_again(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    mail_server.answers = [Refused(550)]
    tenant = await service.make_tenant()
    await deliver_until(postman, lambda: not mail_server.answers)
    for steps in (("billing",), ("billing", "welcome_mail")):
        assert not mail_server.taken
        await service.handle(
            tenant.tenant_id, ProvisioningResumed(tenant_id=tenant.tenant_id, version=1, steps=steps)
        )
        await postman.rounds.step()
    await deliver_until(postman, lambda: bool(mail_server.taken))
    (event,) = await office.emitted(tenant.tenant_id, "WelcomeMailSent")
    assert event["attempts"] == 2
    resumed = ProvisioningResumed(tenant_id=tenant.tenant_id, version=1, steps=("welcome_mail",))
    await service.handle(tenant.tenant_id, resumed)
    await postman.rounds.step()
    assert len(mail_server.taken) == 1, "what is sent is not sent again"


async def test_a_mail_under_way_is_nobody_elses(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    mail_server.hold.clear()
    tenant = await service.make_tenant()
    first = asyncio.create_task(deliver_until(postman, lambda: bool(mail_server.taken)))
    async with asyncio.timeout(60):
        await mail_server.reached.wait()
    rival_server = ScriptedServer()
    rival = Postman(service.kernel.database, settings_of(service.kernel), rival_server)  # type: ignore[arg-type]
    await rival.rounds.step()
    await rival.rounds.finish()
    assert rival_server.taken == []
    mail_server.hold.set()
    await first
    assert len(mail_server.taken) == 1
    assert (await office.mail_of(tenant.tenant_id))["state"] == "sent"


async def test_the_claim_of_a_dead_process_runs_out_and_its_mail_leaves_under_the_same_id(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    tenant = await service.make_tenant()
    dead = await postman._claim(tenant.tenant_id)
    assert dead is not None
    await postman.rounds.step()
    await postman.rounds.finish()
    assert mail_server.taken == [], "the claim still holds"
    await office.make_due(tenant.tenant_id)
    await deliver_until(postman, lambda: bool(mail_server.taken))
    assert str(dead.mail_id) in mail_server.taken[0][0]["Message-ID"]
    await postman._settle(dead, Refused(550))
    assert (await office.mail_of(tenant.tenant_id))["state"] == "sent", "an outdated claim changes nothing"


async def test_one_poisoned_mail_does_not_stop_the_others(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    poisoned, healthy = await service.make_tenant(), await service.make_tenant()
    await office.fetch("UPDATE auth.mails SET facts = '{}' WHERE tenant_id = $1", poisoned.tenant_id)
    await deliver_until(postman, lambda: bool(mail_server.taken))
    assert (await office.mail_of(healthy.tenant_id))["state"] == "sent"
    assert (await office.mail_of(poisoned.tenant_id))["state"] == "queued"


async def test_many_mails_leave_once_each_with_two_postmen(
    service: Harness, office: Office, postman: Postman, mail_server: ScriptedServer
) -> None:
    await asyncio.gather(*(service.make_tenant() for _ in range(30)))
    rival = Postman(service.kernel.database, settings_of(service.kernel), mail_server)  # type: ignore[arg-type]
    await asyncio.gather(
        *(deliver_until(one, lambda: len(mail_server.taken) >= 30) for one in (postman, rival))
    )
    ids = [message["Message-ID"] for message, _, _ in mail_server.taken]
    assert len(ids) == len(set(ids)) == 30


def test_delays_grow_to_a_bound() -> None:
    away = [retry_delay(attempt, server_away=True).total_seconds() for attempt in (1, 2, 3, 5, 100)]
    busy = [retry_delay(attempt, server_away=False).total_seconds() for attempt in (1, 4, 12, 100)]
    assert away == [1, 2, 4, 10, 10]
    assert busy == [1, 8, 900, 900]


async def test_nobody_at_the_address_is_a_server_that_is_away(
    service: Harness, office: Office, mail_server: ScriptedServer
) -> None:
    await office.empty_queue()
    postman = Postman(service.kernel.database, settings_of(service.kernel), MailServer("smtp://127.0.0.1:1"))
    tenant = await service.make_tenant()
    await postman.rounds.step()
    await postman.rounds.finish()
    assert (await office.mail_of(tenant.tenant_id))["error"] == "server_away"
