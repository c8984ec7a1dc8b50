"""The service under test, an auth service that answers as told, and what is behind the API."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from services.tenants.tests.company import found
from services.tenants.tests.leaving import Owner
from services.tenants.tests.name_server import NameServer, name_server
from services.tenants.tests.world import WEBHOOK_SECRET, Office, ScriptedAuth, ScriptedStripe

from common.files import Files
from common.ids import new_id
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, harness
from tenants.__main__ import SERVICE
from tenants.billing.worker import Clerk
from tenants.deletion.worker import Registrar
from tenants.parts import TenantsParts
from tenants.provisioning import desk

RETENTION_DAYS = 7


@pytest.fixture(scope="session")
async def database(service_database: Callable[[str], Awaitable[ServiceDatabase]]) -> ServiceDatabase:
    return await service_database("tenants")


@pytest.fixture(scope="session")
async def service(database: ServiceDatabase) -> AsyncIterator[Harness]:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    environment: dict[str, Any] = {
        "service_signing_key": key.decode(),
        "stripe_secret_key": "sk_test_none",
        "stripe_webhook_secret": WEBHOOK_SECRET,
        "signup_rate_per_minute": 1_000_000,
    }
    async with harness(SERVICE, database, environment) as made:
        yield made


@pytest.fixture
async def office(database: ServiceDatabase, service: Harness) -> AsyncIterator[Office]:
    """What no API shows, and the other services' part of a sign-up."""
    connection = await asyncpg.connect(database.superuser_url)
    yield Office(service, connection)
    await connection.close()


@pytest.fixture
def auth(service: Harness, monkeypatch: pytest.MonkeyPatch) -> ScriptedAuth:
    """The gateway to auth, replaced."""
    scripted = ScriptedAuth()
    parts: TenantsParts = service.client._transport.app._app.state.parts  # type: ignore[attr-defined]
    monkeypatch.setattr(parts.auth, "issue_tokens", scripted.issue_tokens)
    return scripted


@pytest.fixture
def stripe(service: Harness, monkeypatch: pytest.MonkeyPatch) -> ScriptedStripe:
    """A Stripe of the test's own, for its clerk and for the routes."""
    scripted = ScriptedStripe()
    parts: TenantsParts = service.client._transport.app._app.state.parts  # type: ignore[attr-defined]
    for name in ("list_invoices", "open_portal", "open_checkout"):
        monkeypatch.setattr(parts.stripe, name, getattr(scripted, name))
    return scripted


@pytest.fixture
async def clerk(service: Harness, stripe: ScriptedStripe, office: Office) -> Clerk:
    """A clerk with nothing to do but what its test gives it."""
    await office.close_all_cases()
    return Clerk(service.kernel.database, stripe)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long requests wait; a minute until then, for machines that are busy."""

    def set_patience(seconds: float) -> None:
        monkeypatch.setattr(desk, "PATIENCE_SECONDS", seconds)

    set_patience(60)
    return set_patience


@pytest.fixture
async def owner(service: Harness, office: Office) -> Owner:
    return Owner(service, office, await found(service, "starter"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path.as_uri())


@pytest.fixture
async def registrar(
    service: Harness, office: Office, stripe: ScriptedStripe, files: Files
) -> AsyncIterator[Registrar]:
    """With nothing to do but what its test gives it."""
    await office.fetch("UPDATE tenants.deletions SET next_step_at = 'infinity'")
    made = Registrar(service.kernel.database, stripe, files, RETENTION_DAYS)  # type: ignore[arg-type]
    yield made
    await made.rounds.finish()


@pytest.fixture
def domain() -> str:
    return f"news.{new_id().hex}.example"


@pytest.fixture
async def zone(service: Harness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServer]:
    """The DNS that the service asks."""
    parts: TenantsParts = service.client._transport.app._app.state.parts  # type: ignore[attr-defined]
    async with name_server() as (server, address):
        monkeypatch.setattr(parts.dns, "_server", address)
        yield server
