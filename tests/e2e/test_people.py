"""People come and go: invited, accepted, promoted, logged in and out, deactivated."""

import re
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.surroundings import mails_to

LINK = re.compile(r"\?token=([A-Za-z0-9_.-]+)")
PASSWORD = "a walrus on a bicycle"


class Person:
    """Somebody with an account of a tenant."""

    def __init__(self, platform: Platform, tenant: Tenant, email: str, entered: dict[str, Any]) -> None:
        self.platform, self.email = platform, email
        self.user_id: str = entered["user"]["user_id"]
        self.refresh_token: str = entered["refresh_token"]
        self.as_tenant = replace(tenant, token=entered["access_token"])

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.platform.get(self.as_tenant, path, **params)

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.platform.post(self.as_tenant, path, body)

    async def log_in(self, password: str = PASSWORD) -> httpx.Response:
        body = {"email": self.email, "password": password}
        return await self.platform.http.post("/api/v1/auth/login", json=body)


async def link_in_mail(environment: dict[str, Any], address: str) -> str:
    """The secret in the only mail to `address`, as soon as it is there."""

    async def arrived() -> list[EmailMessage] | None:
        return mails_to(Path(environment["mail_dir"]), address) or None

    (mail,) = await eventually(arrived)
    body = mail.get_body(("plain",))
    assert body is not None
    found = LINK.search(body.get_content())
    assert found
    return found[1]


@pytest.fixture
async def ivan(platform: Platform, tenant: Tenant, environment: dict[str, Any]) -> Person:
    """A member, viewer in the default workspace."""
    email = f"ivan-{uuid4().hex}@example.com"
    offers = [{"workspace_id": tenant.default_workspace_id, "role": "viewer"}]
    await platform.make(tenant, "/invitations", email=email, role="member", workspaces=offers)
    wish = {"token": await link_in_mail(environment, email), "name": "Ivan", "password": PASSWORD}
    accepted = await platform.http.post("/api/v1/invitations/accept", json=wish)
    assert accepted.status_code == 201, accepted.text
    again = await platform.http.post("/api/v1/invitations/accept", json=wish)
    assert (again.status_code, again.json()["code"]) == (410, "token_used_or_expired")
    return Person(platform, tenant, email, accepted.json())


async def test_the_token_of_an_accepted_invitation_works_at_once_on_every_service(
    platform: Platform, tenant: Tenant, ivan: Person
) -> None:
    other = await platform.make(tenant, "/workspaces", name="Not Ivan's")
    me = (await ivan.get("/auth/me")).json()
    viewer = {"workspace_id": tenant.default_workspace_id, "role": "viewer"}
    assert (me["tenant_id"], me["workspaces"]) == (tenant.tenant_id, [viewer])
    listed = (await ivan.get("/workspaces")).json()["data"]
    assert [row["workspace_id"] for row in listed] == [tenant.default_workspace_id]
    assert (await ivan.get("/campaigns")).json()["data"] == []
    assert (await ivan.get(f"/tenants/{tenant.tenant_id}")).status_code in (200, 403)
    assert (await ivan.get("/audit/events")).status_code == 403
    written = await ivan.post("/campaigns", {"workspace_id": tenant.default_workspace_id, "name": "X"})
    assert (written.status_code, written.json()["code"]) == (403, "forbidden")
    hidden = await ivan.post("/campaigns", {"workspace_id": other["workspace_id"], "name": "X"})
    assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")


async def test_promotion_and_deactivation_act_everywhere_within_a_second(
    platform: Platform, tenant: Tenant, ivan: Person
) -> None:
    path = f"/api/v1/users/{ivan.user_id}"
    promoted = await platform.http.patch(path, headers=tenant.headers, json={"role": "admin"})
    assert promoted.status_code == 200, promoted.text

    async def reads_the_log() -> bool:
        return (await ivan.get("/audit/events")).status_code == 200

    await eventually(reads_the_log, within=1.0)
    gone = await platform.http.delete(path, headers=tenant.headers)
    assert gone.status_code in (200, 204), gone.text

    for service in ("/auth/me", "/workspaces", "/campaigns", f"/tenants/{tenant.tenant_id}", "/audit/events"):

        async def refused(service: str = service) -> bool:
            return (await ivan.get(service)).status_code == 401

        await eventually(refused, within=1.0)
    assert (await ivan.log_in()).status_code == 401


async def test_log_in_refresh_and_log_out(platform: Platform, ivan: Person) -> None:
    wrong = await ivan.log_in("not a walrus on a bicycle")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    entered = await ivan.log_in()
    assert entered.status_code == 200, entered.text
    session = Person(platform, ivan.as_tenant, ivan.email, entered.json())
    renewed = await refresh(platform, session.refresh_token)
    assert renewed.status_code == 200, renewed.text
    assert (await refresh(platform, renewed.json()["refresh_token"])).status_code == 200
    stolen = await refresh(platform, session.refresh_token)
    assert (stolen.status_code, stolen.json()["code"]) == (401, "invalid_refresh_token")
    replayed = replace(session.as_tenant, token=renewed.json()["access_token"])

    async def family_ended() -> bool:
        return (await platform.get(replayed, "/campaigns")).status_code == 401

    await eventually(family_ended, within=1.0)
    assert (await ivan.get("/campaigns")).status_code == 200, "the other session goes on"
    assert (await ivan.post("/auth/logout", {})).status_code == 204

    async def logged_out() -> bool:
        return (await ivan.get("/campaigns")).status_code == 401

    await eventually(logged_out, within=1.0)


async def refresh(platform: Platform, token: str) -> httpx.Response:
    return await platform.http.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def test_one_address_in_two_tenants_says_which(
    platform: Platform, tenant: Tenant, other: Tenant, ivan: Person, environment: dict[str, Any]
) -> None:
    invitation = await platform.make(other, "/invitations", email=ivan.email, role="admin")
    assert invitation["status"] == "pending"

    async def second_mail() -> str | None:
        mails = mails_to(Path(environment["mail_dir"]), ivan.email)
        bodies = [mail.get_body(("plain",)) for mail in mails]
        texts = [body.get_content() for body in bodies if body and other.company_name in body.get_content()]
        return LINK.findall(texts[0])[0] if texts else None

    wish = {"token": await eventually(second_mail), "name": "Ivan", "password": PASSWORD}
    accepted = await platform.http.post("/api/v1/invitations/accept", json=wish)
    assert accepted.status_code == 201, accepted.text
    unclear = await ivan.log_in()
    assert (unclear.status_code, unclear.json()["code"]) == (409, "tenant_required")
    offered = {one["tenant_id"]: one["name"] for one in unclear.json()["tenants"]}
    assert offered == {one.tenant_id: one.company_name for one in (tenant, other)}
    body = {"email": ivan.email, "password": PASSWORD, "tenant_id": other.tenant_id}
    entered = await platform.http.post("/api/v1/auth/login", json=body)
    assert entered.json()["user"]["tenant_id"] == other.tenant_id
    there = replace(other, token=entered.json()["access_token"])
    assert (await platform.get(there, f"/workspaces/{tenant.default_workspace_id}")).status_code == 404
