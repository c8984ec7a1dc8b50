"""What a sign-up leaves behind, seen from outside: mail, customer, keys, and one of each."""

import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest

from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.surroundings import customers_of, mails_to

LINK = re.compile(r"\?token=([A-Za-z0-9_.-]+)")


async def test_one_welcome_mail_with_a_link_and_one_customer(
    platform: Platform, tenant: Tenant, environment: dict[str, Any]
) -> None:
    folder = Path(environment["mail_dir"])

    async def arrived() -> list[EmailMessage] | None:
        return mails_to(folder, tenant.owner_email) or None

    (mail,) = await eventually(arrived)
    body = mail.get_body(("plain",))
    assert body is not None
    assert LINK.search(body.get_content())
    assert mail["Message-ID"]

    async def finished() -> bool:
        answer = await platform.get(tenant, f"/tenants/{tenant.tenant_id}/provisioning")
        assert answer.status_code == 200, answer.text
        return answer.json()["status"] == "done"

    await eventually(finished, within=20)
    assert len(await customers_of(environment, tenant.owner_email)) == 1
    assert len(mails_to(folder, tenant.owner_email)) == 1


async def test_the_link_of_the_mail_sets_a_password_once(
    platform: Platform, tenant: Tenant, environment: dict[str, Any]
) -> None:
    async def arrived() -> list[EmailMessage] | None:
        return mails_to(Path(environment["mail_dir"]), tenant.owner_email) or None

    (mail,) = await eventually(arrived)
    body = mail.get_body(("plain",))
    assert body is not None
    found = LINK.search(body.get_content())
    assert found
    wish = {"token": found[1], "password": "a rather long and fine password"}
    codes = [
        (await platform.http.post("/api/v1/auth/password/reset", json=wish)).status_code for _ in range(2)
    ]
    assert codes[0] in (200, 204)
    assert codes[1] == 410


async def test_the_published_keys_verify_the_token_elsewhere(platform: Platform, tenant: Tenant) -> None:
    keys = (await platform.http.get("/.well-known/jwks.json")).json()
    header = jwt.get_unverified_header(tenant.token)
    key = next(item for item in keys["keys"] if item["kid"] == header["kid"])
    claims = jwt.decode(tenant.token, jwt.PyJWK(key), algorithms=["ES256"], audience="penguinmails", leeway=5)
    assert header["typ"] == "at+jwt"
    assert claims["tenant_id"] == tenant.tenant_id
    assert claims["sub"] == claims["user_id"] == tenant.owner_user_id
    assert tenant.default_workspace_id in claims["workspaces"]
    assert claims["exp"] - claims["iat"] <= 900
    assert "d" not in key, "no private part is published"


async def test_the_same_key_makes_one_tenant(platform: Platform) -> None:
    body = {
        "company_name": "Once Ltd",
        "owner_email": "once@once.example.com",
        "owner_name": "Ona",
        "plan": "professional",
    }
    headers = {"Idempotency-Key": str(uuid4())}
    first = await platform.http.post("/api/v1/tenants", json=body, headers=headers)
    again = await platform.http.post("/api/v1/tenants", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    for name in ("tenant_id", "owner_user_id", "default_workspace_id"):
        assert first.json()[name] == again.json()[name]
    other = await platform.http.post("/api/v1/tenants", json={**body, "plan": "starter"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "free"},
        {"owner_email": "no address"},
        {"company_name": "a\x00b"},
        {"company_name": ""},
        {"tenant_id": "tenant_01k2zzzzzzf0000000000000zz"},
        {"role": "owner"},
    ],
)
async def test_bad_sign_ups_make_nothing(platform: Platform, change: dict[str, Any]) -> None:
    body = {"company_name": "Bad", "owner_email": "b@bad.example.com", "owner_name": "B", "plan": "starter"}
    answer = await platform.http.post("/api/v1/tenants", json={**body, **change})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


async def test_logging_out_ends_the_session_on_every_service(platform: Platform, tenant: Tenant) -> None:
    assert (await platform.post(tenant, "/auth/logout", {})).status_code == 204
    for path in ("/auth/me", "/workspaces", "/campaigns", f"/tenants/{tenant.tenant_id}", "/audit/events"):

        async def refused(path: str = path) -> bool:
            return (await platform.get(tenant, path)).status_code == 401

        await eventually(refused, within=3)


async def test_no_token_stands_in_logs_or_traces(
    platform: Platform, tenant: Tenant, environment: dict[str, Any]
) -> None:
    home = Path(environment["mail_dir"]).parent
    signature = tenant.token.rpartition(".")[2]
    answer = await platform.get(tenant, "/auth/me")

    def written() -> dict[str, str]:
        paths = (*home.glob("logs/*"), *home.rglob("*.jsonl"))
        return {path.name: path.read_text(errors="replace") for path in paths}

    async def told() -> bool:
        """The positive control: what a request with the token leaves there has been written."""
        texts = written()
        return all(answer.headers["X-Trace-Id"] in texts[name] for name in ("auth.log", "traces.jsonl"))

    await eventually(told, every=0.5)
    assert [name for name, text in written().items() if signature in text] == []
