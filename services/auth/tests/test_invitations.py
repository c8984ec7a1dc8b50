"""Invitations: mailed, within the limit, accepted once."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from services.auth.tests.office import Office, ScriptedServer, deliver_until
from services.auth.tests.people import add

from auth.mail.worker import Postman
from common.contracts.auth import UserRegistered, UserRoleChanged
from common.contracts.tenants import Limits, TenantLimitsUpdated, TenantSuspended
from common.db.session import TenantSession
from common.ids import Kind, new_id, to_text
from common.testing.harness import Harness, MadeTenant, bearer

INVITATIONS = "/api/v1/invitations"
PASSWORD = "a walrus on a bicycle"


@pytest.fixture
async def tenant(service: Harness, postman: Postman, office: Office) -> MadeTenant:
    made = await service.make_tenant("Acme Rockets")
    await office.empty_queue()
    return made


@pytest.fixture
def email() -> str:
    return f"{new_id().hex}@example.com"


async def invite(service: Harness, headers: dict[str, str], email: str, **more: Any) -> httpx.Response:
    body = {"email": email, "role": "member", **more}
    return await service.client.post(INVITATIONS, headers=headers, json=body)


@pytest.fixture
async def token(
    service: Harness, tenant: MadeTenant, email: str, postman: Postman, mail_server: ScriptedServer
) -> str:
    """The secret of a mailed invitation that lets a member work in the default workspace."""
    workspace = to_text(Kind.WORKSPACE, tenant.workspace_id)
    offers = [{"workspace_id": workspace, "role": "viewer"}]
    answer = await invite(service, tenant.headers, email, workspaces=offers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["workspaces"] == offers
    made = await mailed_token(postman, mail_server, 1)
    assert mail_server.taken[0][2] == email
    return made


async def mailed_token(postman: Postman, mail_server: ScriptedServer, number: int) -> str:
    """The secret in the mail of this number, as soon as it is sent."""
    await deliver_until(postman, lambda: len(mail_server.taken) >= number)
    body = mail_server.taken[number - 1][0].get_body(("plain",))
    assert body is not None
    found = re.search(r"/invitation\?token=([A-Za-z0-9_-]+)", body.get_content())
    assert found is not None
    return found[1]


async def accept(service: Harness, token: str, password: str = PASSWORD) -> httpx.Response:
    body = {"token": token, "name": "Ida", "password": password}
    return await service.client.post(f"{INVITATIONS}/accept", json=body)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


GONE = (410, "token_used_or_expired")


async def test_an_invitation_makes_a_user_who_can_log_in(
    service: Harness, office: Office, tenant: MadeTenant, email: str, token: str
) -> None:
    answer = await accept(service, token)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["user"]["email"], body["user"]["role"]) == (email, "member")
    (registered,) = (await office.emitted(tenant.tenant_id, "UserRegistered"))[1:]
    workspace = to_text(Kind.WORKSPACE, tenant.workspace_id)
    assert registered["memberships"] == [{"workspace_id": workspace, "role": "viewer"}]
    assert registered["meta"]["actor"]["id"] == body["user"]["user_id"]
    (accepted,) = await office.emitted(tenant.tenant_id, "InvitationAccepted")
    assert accepted["user_id"] == body["user"]["user_id"]
    del registered["type"]
    await service.handle(tenant.tenant_id, UserRegistered.model_validate(registered))
    me = await service.client.get("/api/v1/auth/me", headers=bearer(body["access_token"]))
    assert me.json()["workspaces"] == [{"workspace_id": workspace, "role": "viewer"}]
    entered = await service.client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert entered.status_code == 200
    assert refusal(await accept(service, token)) == GONE


async def test_of_parallel_uses_one_wins(service: Harness, token: str) -> None:
    answers = await asyncio.gather(*(accept(service, token) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, *[410] * 4]


async def test_a_weak_password_does_not_use_the_link_up(service: Harness, token: str) -> None:
    assert refusal(await accept(service, token, "Acme Rockets are best")) == (422, "weak_password")
    assert (await accept(service, token)).status_code == 201


async def test_revoked_expired_and_invented_links_are_gone(
    service: Harness, office: Office, tenant: MadeTenant, token: str
) -> None:
    last = "A" if token[-1] != "A" else "Q"
    assert refusal(await accept(service, token[:-1] + last)) == GONE
    assert refusal(await accept(service, "x")) == GONE
    await office.fetch(
        "UPDATE auth.invitations SET expires_at = now() WHERE tenant_id = $1", tenant.tenant_id
    )
    assert refusal(await accept(service, token)) == GONE
    await office.fetch(
        "UPDATE auth.invitations SET expires_at = now() + interval '1 day' WHERE tenant_id = $1",
        tenant.tenant_id,
    )
    (listed,) = (await service.client.get(INVITATIONS, headers=tenant.headers)).json()["data"]
    path = f"{INVITATIONS}/{listed['invitation_id']}"
    for _ in range(2):
        assert (await service.client.delete(path, headers=tenant.headers)).status_code == 204
    told = await office.emitted(tenant.tenant_id, "UserInvited", "InvitationRevoked")
    assert [event["version"] for event in told] == [1, 2]
    assert refusal(await accept(service, token)) == GONE


async def test_a_suspended_tenant_takes_nobody(service: Harness, tenant: MadeTenant, token: str) -> None:
    event = TenantSuspended(tenant_id=tenant.tenant_id, version=2, reason="unpaid")
    await service.handle(tenant.tenant_id, event)
    assert refusal(await accept(service, token)) == (403, "tenant_suspended")


async def test_the_limit_is_exact_under_parallel_requests(service: Harness, email: str) -> None:
    room = Limits(max_workspaces=3, max_users=10, email_sends_per_month=1)
    tenant = await service.make_tenant(limits=room)
    answers = await asyncio.gather(*(invite(service, tenant.headers, f"{n}{email}") for n in range(50)))
    assert sorted(answer.status_code for answer in answers) == [*[201] * 9, *[403] * 41]
    assert {answer.json().get("code") for answer in answers} == {None, "limit_exceeded"}
    refused = next(answer.json() for answer in answers if answer.status_code == 403)
    assert (refused["limit"], refused["current"], refused["maximum"]) == ("max_users", 10, 10)
    wider = TenantLimitsUpdated(
        tenant_id=tenant.tenant_id, version=2, limits=room.model_copy(update={"max_users": 11})
    )
    await service.handle(tenant.tenant_id, wider)
    codes = [(await invite(service, tenant.headers, f"then{n}{email}")).status_code for n in range(2)]
    assert codes == [201, 403]


async def test_one_invitation_and_one_account_per_address(
    service: Harness, office: Office, tenant: MadeTenant, email: str
) -> None:
    answers = await asyncio.gather(*(invite(service, tenant.headers, email) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "already_invited"}
    own = f"{tenant.owner_id.hex}@example.com"
    assert refusal(await invite(service, tenant.headers, own)) == (409, "already_user")
    (event,) = await office.emitted(tenant.tenant_id, "UserInvited")
    assert (event["email"], event["role"]) == (email, "member")


async def test_nobody_grants_more_than_they_have(
    service: Harness, office: Office, tenant: MadeTenant, email: str
) -> None:
    _, admin = await add(service, office, tenant, "admin")
    _, member = await add(service, office, tenant, "member")
    assert refusal(await invite(service, admin, email, role="owner")) == (403, "forbidden")
    assert refusal(await invite(service, member, email)) == (403, "forbidden")
    foreign = to_text(Kind.WORKSPACE, (await service.make_tenant()).workspace_id)
    offers = [{"workspace_id": foreign, "role": "viewer"}]
    assert (await invite(service, tenant.headers, email, workspaces=offers)).status_code == 404


async def test_a_demotion_counts_before_its_event_has_come(
    service: Harness, office: Office, tenant: MadeTenant, email: str
) -> None:
    admin_id, admin = await add(service, office, tenant, "admin")
    await office.fetch("UPDATE auth.users SET role = 'member' WHERE user_id = $1", admin_id)
    assert refusal(await invite(service, admin, email)) == (403, "forbidden")


@pytest.mark.parametrize("ending", ["demoted", "deactivated"])
async def test_who_is_over_has_no_invitations_left(
    service: Harness, office: Office, tenant: MadeTenant, email: str, ending: str
) -> None:
    room = Limits(max_workspaces=3, max_users=10, email_sends_per_month=1)
    tenant = await service.make_tenant(limits=room)
    second_id, second = await add(service, office, tenant, "owner")
    for number, role in enumerate(("owner", "member")):
        made = await invite(service, second, f"{number}{email}", role=role)
        assert made.status_code == 201, made.text
    path = f"/api/v1/users/{to_text(Kind.USER, second_id)}"
    if ending == "demoted":
        answer = await service.client.patch(path, headers=tenant.headers, json={"role": "admin"})
    else:
        answer = await service.client.delete(path, headers=tenant.headers)
    assert answer.is_success, answer.text
    listed = (await service.client.get(INVITATIONS, headers=tenant.headers)).json()["data"]
    standing = {one["role"]: one["status"] for one in listed}
    assert standing == {"owner": "revoked", "member": "pending" if ending == "demoted" else "revoked"}


async def test_an_acceptance_between_two_looks_is_counted_once(
    service: Harness, tenant: MadeTenant, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    while (await invite(service, tenant.headers, f"{new_id().hex}@example.com")).status_code == 201:
        pass
    scalar, accepted = TenantSession.scalar, list[int]()

    async def accept_after(self: TenantSession, statement: Any, *more: Any, **options: Any) -> Any:
        found = await scalar(self, statement, *more, **options)
        if "count" in str(statement) and not accepted:
            accepted.append(0)
            accepted.append((await accept(service, token)).status_code)
        return found

    monkeypatch.setattr(TenantSession, "scalar", accept_after)
    late = await invite(service, tenant.headers, f"{new_id().hex}@example.com")
    assert accepted == [0, 201]
    assert refusal(late) == (403, "limit_exceeded")


async def test_a_demoted_admin_is_not_answered_again(
    service: Harness, office: Office, tenant: MadeTenant, email: str
) -> None:
    admin_id, admin = await add(service, office, tenant, "admin")
    keyed = {**admin, "Idempotency-Key": "once"}
    assert (await invite(service, keyed, email)).status_code == 201
    assert (await invite(service, keyed, email)).headers["Idempotent-Replayed"] == "true"
    event = UserRoleChanged(
        tenant_id=tenant.tenant_id, user_id=admin_id, version=9, role="member", previous_role="admin"
    )
    await service.handle(tenant.tenant_id, event)
    assert refusal(await invite(service, keyed, email)) == (403, "forbidden")


async def test_who_was_deactivated_can_be_invited_again(
    service: Harness,
    tenant: MadeTenant,
    token: str,
    email: str,
    postman: Postman,
    mail_server: ScriptedServer,
) -> None:
    first = (await accept(service, token)).json()["user"]["user_id"]
    assert refusal(await invite(service, tenant.headers, email)) == (409, "already_user")
    gone = await service.client.delete(f"/api/v1/users/{first}", headers=tenant.headers)
    assert gone.status_code == 204
    assert (await invite(service, tenant.headers, email)).status_code == 201
    another = "a giraffe on a unicycle"
    accepted = await accept(service, await mailed_token(postman, mail_server, 2), another)
    assert accepted.status_code == 201, accepted.text
    second = accepted.json()["user"]["user_id"]
    assert second != first
    log_in = [
        await service.client.post("/api/v1/auth/login", json={"email": email, "password": password})
        for password in (PASSWORD, another)
    ]
    assert [answer.status_code for answer in log_in] == [401, 200]
    assert log_in[1].json()["user"]["user_id"] == second
    assert refusal(await invite(service, tenant.headers, email)) == (409, "already_user")
