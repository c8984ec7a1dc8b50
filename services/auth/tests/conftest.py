"""The service under test with its own keys, and a mail server that does as it is told."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from services.auth.tests.office import Office, ScriptedServer

from auth.__main__ import SERVICE
from auth.mail.worker import Postman
from auth.parts import AuthParts
from auth.password.costs import CostsInUse
from auth.settings import settings_of
from common.ids import Kind, to_text
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant, bearer, harness
from common.web.service_tokens import make_service_token


def pem_pair() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


TENANTS_KEY, CAMPAIGNS_KEY = pem_pair(), pem_pair()


@pytest.fixture(scope="session")
async def database(service_database: Callable[[str], Awaitable[ServiceDatabase]]) -> ServiceDatabase:
    return await service_database("auth")


@pytest.fixture(scope="session")
async def service(database: ServiceDatabase) -> AsyncIterator[Harness]:
    environment: dict[str, Any] = {
        "key_encryption_key": "6b" * 32,
        "mail_from": "PenguinMails <no-reply@penguinmails.test>",
        "login_failure_grid": 0.01,
        "service_public_keys": {"tenants": TENANTS_KEY[1], "campaigns": CAMPAIGNS_KEY[1]},
    }
    async with harness(SERVICE, database, environment) as made:
        await _trust_own_keys(made)
        yield made


async def _trust_own_keys(service: Harness) -> None:
    """Let the verifier know the service's real keys besides the tests' issuer."""
    own = (await service.client.get("/.well-known/jwks.json")).json()["keys"]
    both = {"keys": [*own, *service.issuer.jwks()["keys"]]}
    service.kernel.verifier.keys.install(jwt.PyJWKSet.from_dict(both))


@pytest.fixture
async def office(database: ServiceDatabase) -> AsyncIterator[Office]:
    """What no API shows: rows and events, seen by the superuser."""
    connection = await asyncpg.connect(database.superuser_url)
    yield Office(connection)
    await connection.close()


@pytest.fixture
def mail_server() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
async def postman(service: Harness, mail_server: ScriptedServer, office: Office) -> Postman:
    """A postman with an empty queue, so that a test meets its own mails only."""
    await office.empty_queue()
    return Postman(service.kernel.database, settings_of(service.kernel), mail_server)  # type: ignore[arg-type]


@pytest.fixture
async def dearer(service: Harness, office: Office) -> AsyncIterator[AuthParts]:
    """The cost of passwords is raised, to four passes; accounts that tests make are from before."""
    state = service.client._transport.app._app.state  # type: ignore[attr-defined]
    parts: AuthParts = state.parts
    settings = parts.settings.model_copy(update={"password_time_cost": 4})
    state.parts = replace(parts, settings=settings, costs=CostsInUse())
    yield state.parts
    state.parts = parts
    await office.fetch("UPDATE auth.address_salts SET time_cost = 2 WHERE time_cost = 4")


SignIn = Callable[[MadeTenant], Awaitable[dict[str, Any]]]


@pytest.fixture
def sign_in(service: Harness) -> SignIn:
    """Tokens of the tenant's owner, as the tenants service asks for them."""

    async def ask(tenant: MadeTenant) -> dict[str, Any]:
        answer = await service.client.post(
            "/internal/tokens",
            headers=bearer(make_service_token(TENANTS_KEY[0], "tenants", "auth")),
            json=token_request(tenant.tenant_id, tenant.owner_id),
        )
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = json.loads(answer.text)
        return body

    return ask


def token_request(tenant_id: UUID, user_id: UUID) -> dict[str, str]:
    return {
        "tenant_id": to_text(Kind.TENANT, tenant_id),
        "user_id": to_text(Kind.USER, user_id),
        "ip": "192.0.2.7",
        "user_agent": "Browser/1",
    }
