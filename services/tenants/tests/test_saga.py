"""Steps of the saga: in any order, again and again, visible."""

import asyncio
import itertools

import pytest
from services.tenants.tests.test_sign_up import sign_up
from services.tenants.tests.world import PATH, Office, ScriptedAuth, sign_up_body

from common.contracts.auth import UserRegistered, WelcomeMailRefused
from common.contracts.workspaces import WorkspaceCreated
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, bearer


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_steps_end_once_in_any_order(
    service: Harness, office: Office, auth: ScriptedAuth, order: tuple[int, ...]
) -> None:
    _, tenant_id = await sign_up(service, office)
    events = await office.answers_of_others(tenant_id)
    await office.hear(tenant_id, *(events[place] for place in order))
    rows = await office.fetch(
        "SELECT * FROM tenants.provisioning_steps WHERE tenant_id = $1 ORDER BY place", tenant_id
    )
    await office.hear(tenant_id, *events)
    assert rows == await office.fetch(
        "SELECT * FROM tenants.provisioning_steps WHERE tenant_id = $1 ORDER BY place", tenant_id
    )
    assert await office.steps(tenant_id) == {
        "record": "done",
        "owner_account": "done",
        "default_workspace": "done",
        "billing": "pending",
        "welcome_mail": "done",
    }


async def test_other_users_and_workspaces_end_no_step(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    body = sign_up_body()
    asking = asyncio.create_task(service.client.post(PATH, json=body))
    tenant_id = await office.newest_tenant(body["owner_email"])
    await office.project(tenant_id)
    await office.hear(
        tenant_id,
        UserRegistered(
            tenant_id=tenant_id, user_id=new_id(), version=1, email="b@c.example", name="B", role="owner"
        ),
        WorkspaceCreated(
            tenant_id=tenant_id, workspace_id=new_id(), version=1, name="W", slug="w", admin_id=new_id()
        ),
    )
    steps = await office.steps(tenant_id)
    assert (steps["owner_account"], steps["default_workspace"]) == ("running", "running")
    await office.play_others(body["owner_email"])
    assert (await asking).status_code == 201


async def test_a_refused_mail_shows(service: Harness, office: Office, auth: ScriptedAuth) -> None:
    answer, tenant_id = await sign_up(service, office)
    account, _, _ = await office.answers_of_others(tenant_id)
    await office.hear(
        tenant_id,
        WelcomeMailRefused(tenant_id=tenant_id, user_id=account.user_id, version=1, attempts=1, code=550),
    )
    token = service.issuer.token(tenant_id, account.user_id)
    progress = await service.client.get(
        f"{PATH}/{answer.json()['tenant_id']}/provisioning", headers=bearer(token)
    )
    body = progress.json()
    assert body["status"] == "failed"
    (mail,) = [step for step in body["steps"] if step["name"] == "welcome_mail"]
    assert (mail["status"], mail["error"]) == ("failed", "mail_refused_550")


async def test_progress_is_for_owners_and_admins_of_the_tenant(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    (_, tenant_id), (_, other_id) = [await sign_up(service, office) for _ in range(2)]
    account, _, _ = await office.answers_of_others(tenant_id)
    member = new_id()
    await office.hear(
        tenant_id,
        UserRegistered(
            tenant_id=tenant_id, user_id=member, version=1, email="m@c.example", name="M", role="member"
        ),
    )
    path = f"{PATH}/{to_text(Kind.TENANT, tenant_id)}"
    owner = bearer(service.issuer.token(tenant_id, account.user_id))
    plain = bearer(service.issuer.token(tenant_id, member))
    foreign = bearer(service.issuer.token(other_id, (await office.answers_of_others(other_id))[0].user_id))
    expected = {"": (200, 200, 403), "/settings": (200, 403, 403), "/provisioning": (200, 403, 403)}
    for part, codes in expected.items():
        answers = [await service.client.get(path + part, headers=who) for who in (owner, plain, foreign)]
        assert tuple(one.status_code for one in answers) == codes, part
        assert answers[2].json()["code"] == "cross_tenant_forbidden"


async def test_settings_have_all_fields_and_an_etag(
    service: Harness, office: Office, auth: ScriptedAuth
) -> None:
    answer, tenant_id = await sign_up(service, office, sign_up_body(plan="enterprise", company_name="Acme"))
    account, _, _ = await office.answers_of_others(tenant_id)
    headers = bearer(service.issuer.token(tenant_id, account.user_id))
    settings = await service.client.get(f"{PATH}/{answer.json()['tenant_id']}/settings", headers=headers)
    assert settings.headers["ETag"] == '"v1"'
    assert settings.json() == {
        "tenant_id": answer.json()["tenant_id"],
        "settings": {
            "company_name": "Acme",
            "company_address": "",
            "timezone": "UTC",
            "date_format": "YYYY-MM-DD",
            "email_sender_name": "Acme",
            "default_reply_to": None,
            "branding": {"logo_url": None, "primary_color": None, "custom_domain": None},
            "limits": {"max_workspaces": 1000, "max_users": 1000, "email_sends_per_month": 5_000_000},
            "security": {"auto_lock": "off", "mfa_required": False},
        },
    }
