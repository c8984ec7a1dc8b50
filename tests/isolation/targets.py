"""Where the routes are asked: the applications in this process, the running services, or the gateway."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import httpx
import jwt

from common.bus.projections import PROJECTIONS
from common.contracts import registry
from common.contracts.tenants import Limits
from common.ids import Kind, new_id, parse, to_text
from common.testing.harness import BUSY, Harness, MadeTenant, bearer
from common.testing.issuer import TokenIssuer
from tests.e2e.client import Platform
from tests.isolation.seeds import add_user, record_event, sign_in, sign_up, subscribe

Json = dict[str, Any]
ROOM = Limits(max_workspaces=1000, max_users=1000, email_sends_per_month=10_000)

_ANNOUNCED = (
    "SELECT * FROM tenancy.outbox WHERE id > $1 AND type = ANY ($2) AND topic NOT LIKE '%.dlq' ORDER BY id"
)
_COLLEAGUE = (
    "INSERT INTO auth.users (tenant_id, user_id, email, name, role) "
    "VALUES ($1, $2, $3 || '@example.com', 'Carl', 'member')"
)
_PROJECTED = [event.ce_type() for event in PROJECTIONS]


@dataclass(frozen=True)
class Party:
    """A tenant's owner, as the caller of a route."""

    tenant_id: str
    user_id: str
    workspace_id: str
    session_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.token)


class Target(Protocol):
    """A place to ask routes at."""

    def client(self, service: str) -> httpx.AsyncClient:
        """For requests to the service's routes."""
        ...

    async def join(self, service: str) -> Party:
        """A new tenant that the service knows."""
        ...

    async def jwks(self, service: str) -> Json:
        """The published keys."""
        ...

    def issuer(self, service: str) -> TokenIssuer | None:
        """Who signs tokens here, where the tests may decide that."""
        ...

    async def audit_event(self, party: Party) -> str:
        """Id of an event in the party's audit log."""
        ...

    async def colleague(self, party: Party) -> str:
        """Id of a further user of the party's tenant, as `auth` stores them."""
        ...

    async def settle(self, service: str) -> None:
        """Wait until the service knows what it has itself announced."""
        ...

    async def finish(self, service: str, party: Party, job: str) -> None:
        """Wait until a job at this path is over, where there is somebody to do it."""
        ...


class InProcess:
    """The applications themselves. Each knows its own tenants only: no broker connects them."""

    def __init__(self, harness: Callable[[str], Awaitable[Harness]]) -> None:
        self._make = harness
        self._services: dict[str, Harness] = {}
        self._tenants: dict[str, MadeTenant] = {}
        self._positions: dict[str, int] = {}

    def client(self, service: str) -> httpx.AsyncClient:
        return self._services[service].client

    async def join(self, service: str) -> Party:
        self._services[service] = harness = await self._make(service)
        tenant = await harness.make_tenant(limits=ROOM, features=BUSY)
        if service == "tenants":
            await sign_up(harness, tenant)
            await subscribe(harness, tenant)
        session_id = await sign_in(harness, tenant) if service == "auth" else new_id()
        party = Party(
            to_text(Kind.TENANT, tenant.tenant_id),
            to_text(Kind.USER, tenant.owner_id),
            to_text(Kind.WORKSPACE, tenant.workspace_id),
            to_text(Kind.SESSION, session_id),
            harness.issuer.token(tenant.tenant_id, tenant.owner_id, session_id),
        )
        self._tenants[party.tenant_id] = tenant
        return party

    async def jwks(self, service: str) -> Json:
        return self._services[service].issuer.jwks()

    def issuer(self, service: str) -> TokenIssuer | None:
        return self._services[service].issuer

    async def audit_event(self, party: Party) -> str:
        event_id = await record_event(self._services["audit"], self._tenants[party.tenant_id])
        return to_text(Kind.AUDIT_EVENT, event_id)

    async def colleague(self, party: Party) -> str:
        tenant = self._tenants[party.tenant_id]
        return await add_user(self._services["auth"], tenant)

    def harness(self, service: str) -> Harness:
        """The application that the service's routes are asked at."""
        return self._services[service]

    def tenant(self, party: Party) -> MadeTenant:
        """The tenant that the party owns."""
        return self._tenants[party.tenant_id]

    async def settle(self, service: str) -> None:
        """Be relay, broker and consumer for what was announced since the last time."""
        harness = self._services[service]
        connection = await asyncpg.connect(harness.kernel.settings.relay_database_url)
        try:
            rows = await connection.fetch(_ANNOUNCED, self._positions.get(service, 0), _PROJECTED)
        finally:
            await connection.close()
        for row in rows:
            await harness.handle(row["tenant_id"], registry()[row["type"]].read(row["data"]))
            self._positions[service] = row["id"]

    async def finish(self, service: str, party: Party, job: str) -> None:
        """Nobody does it."""


class Installation:
    """The running stack, through the gateway or straight at each service."""

    def __init__(
        self,
        gateway: httpx.AsyncClient,
        superuser_dsn: str,
        direct: dict[str, httpx.AsyncClient] | None = None,
    ) -> None:
        self._gateway = gateway
        self._superuser_dsn = superuser_dsn
        self._direct = direct

    def client(self, service: str) -> httpx.AsyncClient:
        return self._direct[service] if self._direct is not None else self._gateway

    async def join(self, service: str) -> Party:
        made = await Platform(self._gateway).sign_up(f"Isolation {uuid4().hex}", "enterprise")
        claims = jwt.decode(made.token, options={"verify_signature": False})
        return Party(made.tenant_id, made.owner_user_id, made.default_workspace_id, claims["sid"], made.token)

    async def jwks(self, service: str) -> Json:
        found: Json = (await self._gateway.get("/.well-known/jwks.json")).json()
        return found

    def issuer(self, service: str) -> TokenIssuer | None:
        return None

    async def audit_event(self, party: Party) -> str:
        """That of the sign-up, once all that is known of it has arrived."""
        deadline = time.monotonic() + 15
        params = {"action": "tenant.provisioned"}
        while time.monotonic() < deadline:
            answer = await self.client("audit").get(
                "/api/v1/audit/events", headers=party.headers, params=params
            )
            for event in answer.json()["data"] if answer.is_success else ():
                if event["actor"]["ip"] is not None:
                    return str(event["event_id"])
            await asyncio.sleep(0.1)
        raise AssertionError("the sign-up is not in the audit log after 15 s")

    async def colleague(self, party: Party) -> str:
        user_id = new_id()
        connection = await asyncpg.connect(self._superuser_dsn, database="auth")
        try:
            await connection.execute(_COLLEAGUE, parse(Kind.TENANT, party.tenant_id), user_id, user_id.hex)
        finally:
            await connection.close()
        return to_text(Kind.USER, user_id)

    async def settle(self, service: str) -> None:
        """Nothing to do: services wait for what is on its way."""

    async def finish(self, service: str, party: Party, job: str) -> None:
        async with asyncio.timeout(30):
            while (await self._state(service, party, job)) in ("queued", "running"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _state(self, service: str, party: Party, job: str) -> str:
        answer = await self.client(service).get(job, headers=party.headers)
        assert answer.is_success, answer.text
        return str(answer.json()["status"])
