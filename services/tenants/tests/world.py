"""The world around the tenants service: other services' events, auth, Stripe."""

import asyncio
import json
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from common.context import RequestInfo
from common.contracts.auth import FirstMembership, UserRegistered, WelcomeMailSent
from common.contracts.envelope import Event
from common.contracts.tenants import TenantProvisioned
from common.contracts.workspaces import WorkspaceCreated
from common.ids import Kind, parse
from common.testing.harness import Harness
from tenants.billing.gateway import BillingFailed, Subscription
from tenants.billing.rules import Price
from tenants.provisioning.gateway import AuthAway, OwnerLogsIn, Tokens

PATH = "/api/v1/tenants"

Answers = tuple[UserRegistered, WorkspaceCreated, WelcomeMailSent]


def sign_up_body(**changes: Any) -> dict[str, Any]:
    return {
        "company_name": "Acme Ltd",
        "owner_email": f"{uuid4().hex}@acme.example",
        "owner_name": "Olga Owner",
        "plan": "starter",
        **changes,
    }


class Office:
    """Rows and events as the superuser sees them; and the events with which a sign-up goes on."""

    def __init__(self, service: Harness, connection: asyncpg.Connection) -> None:
        self._service = service
        self._connection = connection

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(statement, *values)

    async def emitted(self, tenant_id: UUID, *names: str) -> list[dict[str, Any]]:
        """Payloads of the tenant's events, oldest first, of these names when some are given."""
        rows = await self._connection.fetch(
            "SELECT type, data FROM tenancy.outbox WHERE tenant_id = $1 ORDER BY id", tenant_id
        )
        found = [{"type": row["type"].split(".")[1], **json.loads(row["data"])} for row in rows]
        return [event for event in found if not names or event["type"] in names]

    async def steps(self, tenant_id: UUID) -> dict[str, str]:
        rows = await self.fetch(
            "SELECT name, status FROM tenants.provisioning_steps WHERE tenant_id = $1 ORDER BY place",
            tenant_id,
        )
        return {row["name"]: row["status"] for row in rows}

    async def close_all_cases(self) -> None:
        await self._connection.execute("UPDATE tenants.subscriptions SET next_attempt_at = NULL")

    async def make_due(self, tenant_id: UUID) -> None:
        await self._connection.execute(
            "UPDATE tenants.subscriptions SET next_attempt_at = now() WHERE tenant_id = $1", tenant_id
        )

    async def newest_tenant(self, owner_email: str) -> UUID:
        """The tenant that signed up with this address, once it is stored."""
        statement = "SELECT tenant_id FROM tenants.provisionings WHERE owner_email = $1"
        rows: list[asyncpg.Record] = []
        async with asyncio.timeout(60):
            while not rows:
                await asyncio.sleep(0.01)
                rows = await self.fetch(statement, owner_email)
        tenant_id: UUID = rows[0]["tenant_id"]
        return tenant_id

    async def hear(self, tenant_id: UUID, *events: Event) -> None:
        for event in events:
            await self._service.handle(tenant_id, event)

    async def answers_of_others(
        self, tenant_id: UUID
    ) -> tuple[UserRegistered, WorkspaceCreated, WelcomeMailSent]:
        """The events with which auth and workspaces answer TenantProvisioned."""
        (told,) = await self.emitted(tenant_id, "TenantProvisioned")
        owner, workspace = told["owner"], told["default_workspace"]
        user_id = parse(Kind.USER, owner["user_id"])
        workspace_id = parse(Kind.WORKSPACE, workspace["workspace_id"])
        account = UserRegistered(
            tenant_id=tenant_id,
            user_id=user_id,
            version=1,
            email=owner["email"],
            name=owner["name"],
            role="owner",
            memberships=(FirstMembership(workspace_id=workspace_id, role="admin"),),
        )
        made = WorkspaceCreated(
            tenant_id=tenant_id,
            workspace_id=workspace_id,
            version=1,
            name="Default",
            slug="default",
            admin_id=user_id,
        )
        return account, made, WelcomeMailSent(tenant_id=tenant_id, user_id=user_id, attempts=1)

    async def play_others(self, owner_email: str) -> UUID:
        """Let the tenant's account and workspace come to be; the projection of its own event too."""
        tenant_id = await self.newest_tenant(owner_email)
        await self.project(tenant_id)
        account, workspace, _ = await self.answers_of_others(tenant_id)
        await self.hear(tenant_id, account, workspace)
        return tenant_id

    async def project(self, tenant_id: UUID) -> None:
        """Let the service hear of its own TenantProvisioned."""
        (told,) = await self.emitted(tenant_id, "TenantProvisioned")
        told.pop("type")
        await self.hear(tenant_id, TenantProvisioned.model_validate(told))


class ScriptedAuth:
    """Stands in for `AuthService`."""

    def __init__(self) -> None:
        self.asked: list[tuple[UUID, UUID, RequestInfo]] = []
        self.away = False
        self.owner_logs_in = False

    async def issue_tokens(
        self, tenant_id: UUID, user_id: UUID, request: RequestInfo, patience: float
    ) -> Tokens:
        assert patience > 0
        if self.away:
            raise AuthAway
        if self.owner_logs_in:
            raise OwnerLogsIn
        self.asked.append((tenant_id, user_id, request))
        return Tokens(f"access-{len(self.asked)}", "Bearer", 900, f"refresh-{len(self.asked)}")


class ScriptedStripe:
    """Stands in for `Stripe`: keeps what is made, ignores idempotency keys, fails when told to.

    `lose_answers` makes it do the work and then break the connection, like a process killed meanwhile.
    """

    def __init__(self) -> None:
        self.customers: list[tuple[str, str, str]] = []
        self.subscriptions: list[tuple[str, str, str]] = []
        self.keys: list[str] = []
        self.ended: list[str] = []
        self.lookups = 0
        self.failures: list[str] = []
        self.lose_answers = 0
        self._numbers = count(1)

    def _fail(self) -> None:
        if self.failures:
            raise BillingFailed(self.failures.pop(0))

    def _answer(self) -> None:
        if self.lose_answers:
            self.lose_answers -= 1
            raise BillingFailed("stripe_unreachable")

    async def find_customer(self, tenant: str, email: str) -> str | None:
        self.lookups += 1
        self._fail()
        return next((c for c, t, e in self.customers if (t, e) == (tenant, email)), None)

    async def create_customer(self, tenant: str, email: str, name: str, key: str) -> str:
        self._fail()
        customer = f"cus_{next(self._numbers)}"
        self.customers.append((customer, tenant, email))
        self.keys.append(key)
        self._answer()
        return customer

    async def find_subscription(self, customer_id: str, tenant: str) -> Subscription | None:
        self._fail()
        mine = [s for s, c, _ in self.subscriptions if c == customer_id]
        return Subscription(mine[0], "trialing") if mine else None

    async def create_subscription(
        self, customer_id: str, tenant: str, price: Price, key: str
    ) -> Subscription:
        self._fail()
        made = f"sub_{next(self._numbers)}"
        self.subscriptions.append((made, customer_id, price.plan_id))
        self.keys.append(key)
        self._answer()
        return Subscription(made, "trialing")

    async def end_subscription(self, subscription_id: str) -> None:
        self._fail()
        self.ended.append(subscription_id)
