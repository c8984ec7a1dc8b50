"""Operators: made at the command line, let in by password and code, refused like everybody else."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import httpx
import jwt
import pyotp
import pytest
from services.auth.tests.office import Office
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from auth.operator import rules
from auth.operator.commands import commands
from auth.parts import AuthParts
from auth.password import hashing
from common import clock
from common.context import SystemContext
from common.ids import PLATFORM_TENANT, Kind, new_id, parse
from common.testing.databases import ServiceDatabase
from common.testing.harness import TEST_LINK_SECRET, Harness, bearer

PATH = "/api/v1/platform/auth"
PASSWORD = "a walrus on a bicycle"


@dataclass
class Operator:
    """A created operator, as printed."""

    email: str
    operator_id: str
    secret: str | None
    printed: dict[str, Any]

    def code(self, at: datetime | None = None) -> str:
        return pyotp.TOTP(self.secret or "").at(at or clock.now())


class Installation:
    """The command line of the service under test, and its API."""

    def __init__(self, service: Harness, database: ServiceDatabase) -> None:
        self.service, self._environment = (
            service,
            {
                "DATABASE_URL": database.app_url,
                "POOLER_MODE": database.pooler_mode,
                "TENANCY_KEY": database.tenancy_key,
                "LINK_SECRET": TEST_LINK_SECRET,
                "KEY_ENCRYPTION_KEY": "6b" * 32,
                "MAIL_FROM": "PenguinMails <no-reply@penguinmails.test>",
                "SERVICE_PUBLIC_KEYS": "{}",
            },
        )

    async def run(self, *words: str, password: str = "", mfa: bool = True) -> tuple[int, str]:
        environment = {**self._environment, "OPERATOR_MFA_REQUIRED": str(mfa)}
        with patch.dict(os.environ, environment):
            result = await asyncio.to_thread(CliRunner().invoke, commands, words, input=f"{password}\n")
        return result.exit_code, result.output

    async def create(self, password: str | None = PASSWORD, mfa: bool = True) -> Operator:
        email = f"{new_id().hex}@penguinmails.example"
        words = ["create", "--email", email, "--name", "Opal", "--by", "root"]
        words += ["--password-stdin"] if password else []
        status, output = await self.run(*words, password=password or "", mfa=mfa)
        assert status == 0, output
        printed = json.loads(output)
        uri = printed["otpauth_uri"]
        secret = pyotp.parse_uri(uri).secret if uri else None
        return Operator(email, printed["operator_id"], secret, printed)

    async def log_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self._post("/login", {"email": email, "password": password})

    async def confirm(self, mfa_token: str, code: str) -> httpx.Response:
        return await self._post("/mfa", {"mfa_token": mfa_token, "code": code})

    async def _post(self, path: str, body: dict[str, str]) -> httpx.Response:
        headers = {"X-Forwarded-For": f"198.51.100.{hash(str(body)) % 250}"}
        return await self.service.client.post(f"{PATH}{path}", json=body, headers=headers)


@pytest.fixture
def installation(service: Harness, database: ServiceDatabase) -> Installation:
    return Installation(service, database)


@pytest.fixture
def lenient(service: Harness) -> Iterator[None]:
    """The setting of the local stack: a password is enough for those who have no TOTP."""
    state = service.client._transport.app._app.state  # type: ignore[attr-defined]
    parts: AuthParts = state.parts
    settings = parts.settings.model_copy(update={"operator_mfa_required": False})
    state.parts = replace(parts, settings=settings)
    yield
    state.parts = parts


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_password_and_code_give_a_token_of_the_platform(
    installation: Installation, office: Office
) -> None:
    operator = await installation.create()
    half = await installation.log_in(operator.email.upper())
    assert refusal(half) == (401, "mfa_required")
    answer = await installation.confirm(half.json()["mfa_token"], operator.code())
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert {**answer.json(), "access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 600,
    }
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert claims["aud"] == "penguinmails-platform"
    assert claims["exp"] - claims["nbf"] == 600
    assert (claims["sub"], claims["operator_id"]) == (operator.operator_id, operator.operator_id)
    assert not claims.keys() & {"tenant_id", "user_id", "role", "sid"}
    me = await installation.service.client.get(f"{PATH}/me", headers=bearer(answer.json()["access_token"]))
    assert (me.json()["email"], me.json()["mfa_enabled"]) == (operator.email, True)
    assert me.headers["RateLimit-Policy"] == '"operator";q=600;w=60'
    told = [
        event
        for event in await office.emitted(PLATFORM_TENANT, "OperatorLoggedIn")
        if event["operator_id"] == operator.operator_id
    ]
    assert [event["meta"]["actor"] for event in told] == [{"type": "operator", "id": operator.operator_id}]


async def test_a_code_works_once_whoever_is_faster(installation: Installation) -> None:
    operator = await installation.create()
    token = (await installation.log_in(operator.email)).json()["mfa_token"]
    code = operator.code()
    answers = await asyncio.gather(*(installation.confirm(token, code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    earlier = await installation.confirm(token, operator.code(clock.now() - timedelta(seconds=30)))
    assert refusal(earlier) == (401, "invalid_code"), "nor does one from before it"


async def test_codes_are_guessed_slowly(installation: Installation) -> None:
    operator = await installation.create()
    token = (await installation.log_in(operator.email)).json()["mfa_token"]
    wrong = f"{(int(operator.code()) + 1) % 1_000_000:06}"
    answers = await asyncio.gather(*(installation.confirm(token, wrong) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 3
    assert (await installation.confirm(token, operator.code())).status_code == 429


async def test_a_code_without_the_password_opens_nothing(installation: Installation) -> None:
    operator, other = await installation.create(), await installation.create()
    theirs = (await installation.log_in(other.email)).json()["mfa_token"]
    operator_id = parse(Kind.OPERATOR, operator.operator_id)
    old = rules.mfa_token(TEST_LINK_SECRET, operator_id, clock.now() - timedelta(minutes=11))
    forged = rules.mfa_token("00" * 32, operator_id, clock.now())
    for token in (theirs, old, forged, "garbage", theirs[:-1] + "A"):
        assert refusal(await installation.confirm(token, operator.code())) == (401, "invalid_code"), token


async def test_every_refusal_is_the_same_and_told_to_the_platform(
    installation: Installation, office: Office
) -> None:
    operator, closed, bare = [await installation.create(mfa=mfa) for mfa in (True, True, False)]
    status, output = await installation.run("close", "--email", closed.email, "--by", "root")
    assert (status, json.loads(output)["status"]) == (0, "closed")
    before = len(await office.emitted(PLATFORM_TENANT, "OperatorLoginFailed"))
    answers = [
        await installation.log_in(operator.email, "a walrus on a tricycle"),
        await installation.log_in(closed.email),
        await installation.log_in(bare.email),
        await installation.log_in(f"x{operator.email}"),
    ]
    bodies = [{**answer.json(), "trace_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert refusal(answers[0]) == (401, "invalid_credentials")
    told = (await office.emitted(PLATFORM_TENANT, "OperatorLoginFailed"))[before:]
    assert [event["reason"] for event in told] == [
        "wrong_password",
        "account_closed",
        "mfa_missing",
        "unknown_address",
    ]
    assert told[0]["meta"]["actor"]["type"] == "anonymous"
    assert operator.email not in str(told)


async def test_one_computation_whatever_exists(installation: Installation) -> None:
    operator = await installation.create()
    for address in (operator.email, f"x{operator.email}"):
        with patch.object(hashing, "hash_secret", wraps=hashing.hash_secret) as computed:
            await installation.log_in(address, "a walrus on a tricycle")
        assert computed.call_count == 1


async def test_failures_must_wait_and_parallel_ones_too(installation: Installation) -> None:
    operator = await installation.create()
    wrong = [installation.log_in(operator.email, "a walrus on a tricycle") for _ in range(8)]
    answers = await asyncio.gather(*wrong)
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 3


@pytest.mark.usefixtures("lenient")
async def test_where_the_setting_allows_a_password_is_enough(installation: Installation) -> None:
    bare, enrolled = await installation.create(mfa=False), await installation.create()
    assert bare.printed["otpauth_uri"] is None
    assert (await installation.log_in(bare.email)).status_code == 200
    assert refusal(await installation.log_in(enrolled.email)) == (401, "mfa_required")


async def test_nothing_secret_is_stored_as_it_is(installation: Installation, office: Office) -> None:
    operator = await installation.create(password=None)
    assert len(operator.printed["password"]) >= 32
    row = (await office.fetch("SELECT * FROM auth.operators WHERE email = $1", operator.email))[0]
    assert row["tenant_id"] == PLATFORM_TENANT
    assert row["password_hash"].startswith("$argon2id$")
    assert (operator.secret or "").encode() not in row["totp_secret"]
    assert operator.printed["password"] not in str(dict(row))
    half = await installation.log_in(operator.email, operator.printed["password"])
    assert refusal(half) == (401, "mfa_required")
    made = await office.emitted(PLATFORM_TENANT, "OperatorCreated")
    assert made[-1]["meta"]["actor"] == {"type": "operator", "id": "root"}
    assert operator.email not in str(made)


@pytest.mark.parametrize(
    ("email", "password", "says"),
    [
        ("no address", PASSWORD, "not an e-mail address"),
        ("op@example.com", "short", "15 to 128"),
        ("op@example.com", "passwordpassword", "guessed first"),
        ("walruses@example.com", "walruses on a bicycle", "must not contain"),
    ],
)
async def test_bad_addresses_and_passwords_are_refused(
    installation: Installation, email: str, password: str, says: str
) -> None:
    words = ["create", "--email", email, "--name", "Opal", "--by", "root", "--password-stdin"]
    status, output = await installation.run(*words, password=password)
    assert status == 2
    assert says in " ".join(output.replace("│", " ").split())


async def test_an_address_is_taken_once(installation: Installation) -> None:
    operator = await installation.create()
    words = ["create", "--email", operator.email, "--name", "Opal", "--by", "root"]
    status, output = await installation.run(*words)
    assert status == 2
    assert "already" in output


async def test_a_closed_operator_has_no_account_any_more(installation: Installation, office: Office) -> None:
    operator = await installation.create()
    token = installation.service.issuer.operator_token(parse(Kind.OPERATOR, operator.operator_id))
    client = installation.service.client
    assert (await client.get(f"{PATH}/me", headers=bearer(token))).status_code == 200
    for _ in range(2):
        await installation.run("close", "--email", operator.email)
    told = await office.emitted(PLATFORM_TENANT, "OperatorClosed", "OperatorTokensRevoked")
    mine = [(one["type"], one["version"]) for one in told if one["operator_id"] == operator.operator_id]
    assert mine == [("OperatorClosed", 2), ("OperatorTokensRevoked", 2)]
    assert (await client.get(f"{PATH}/me", headers=bearer(token))).status_code == 401


@pytest.mark.usefixtures("dearer")
async def test_an_operator_follows_when_the_cost_of_passwords_was_raised(
    installation: Installation, office: Office
) -> None:
    operator = await installation.create()
    raised = "SELECT password_hash LIKE '%,t=4,%' FROM auth.operators WHERE email = $1"
    assert not (await office.fetch(raised, operator.email))[0][0]
    for _ in range(2):
        assert refusal(await installation.log_in(operator.email)) == (401, "mfa_required")
        assert (await office.fetch(raised, operator.email))[0][0]


@pytest.mark.parametrize("purpose", ["job", "platform", "token", "public", "event", "access", "provisioning"])
async def test_only_what_is_done_with_operators_changes_them(
    installation: Installation, service: Harness, purpose: Any
) -> None:
    """Nothing that anybody can ask without a token sees them or changes a password."""
    operator = await installation.create()
    statements = {
        "seen": "SELECT 1 FROM auth.operators WHERE email = :email",
        "used up": "UPDATE auth.operators SET totp_step = totp_step WHERE email = :email RETURNING 1",
        "made": "INSERT INTO auth.operators (operator_id, email, name, password_hash) "
        "SELECT gen_random_uuid(), 'more-' || :email, '', '' RETURNING 1",
        "password": "UPDATE auth.operators SET password_hash = 'x' WHERE email = :email RETURNING 1",
        "deleted": "DELETE FROM auth.operators WHERE email = :email RETURNING 1",
    }
    passed: set[str] = set()
    for name, statement in statements.items():
        async with service.kernel.database.tenant(SystemContext(PLATFORM_TENANT, purpose, "auth")) as session:
            with suppress(ProgrammingError):  # permission denied, for the table or by a policy
                if await session.scalar(text(statement), {"email": operator.email}):
                    passed.add(name)
    assert passed == {
        "job": {"seen", "deleted"},
        "platform": {"seen", "used up", "password", "made", "deleted"},
        "token": {"seen", "used up", "password"},
    }.get(purpose, set())
