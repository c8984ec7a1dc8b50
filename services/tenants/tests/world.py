"""The world around the tenants service: other services' events, auth, Stripe."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from common.context import RequestInfo
from common.contracts.auth import FirstMembership, UserRegistered, WelcomeMailSent
from common.contracts.envelope import Event
from common.contracts.tenants import TenantProvisioned
from common.contracts.workspaces import WorkspaceCreated
from common.ids import PLATFORM_TENANT, Kind, parse
from common.testing.harness import Harness
from tenants.billing.drift import Subscription
from tenants.billing.gateway import BillingFailed
from tenants.billing.rules import Price
from tenants.billing.schemas import Invoice
from tenants.provisioning.gateway import AuthAway, OwnerLogsIn, Tokens

PATH = "/api/v1/tenants"
WEBHOOK_SECRET = "whsec_of_the_tests_of_tenants"

_NUMBERS = count(1)
"""For ids at Stripe, which one account gives once."""

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

    platform = PLATFORM_TENANT

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

    async def subscription(self, tenant_id: UUID) -> asyncpg.Record:
        (row,) = await self.fetch("SELECT * FROM tenants.subscriptions WHERE tenant_id = $1", tenant_id)
        return row

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
        return account, made, WelcomeMailSent(tenant_id=tenant_id, user_id=user_id, version=1, attempts=1)

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
        self.held: dict[str, Subscription] = {}
        self.keys: list[str] = []
        self.canceled: list[str] = []
        self.changes: list[str] = []
        self.lookups = 0
        self.calls = 0
        self.failures: list[str] = []
        self.lose_answers = 0
        self.meanwhile: Callable[[], None] = lambda: None
        """Called whenever Stripe is."""
        self._tenants: dict[str, str] = {}

    @property
    def subscriptions(self) -> list[tuple[str, str, str]]:
        """Those that are not over: id, customer, price."""
        live = [one for one in self.held.values() if not one.is_over]
        return [(one.subscription_id, one.customer_id, one.price_id) for one in live]

    def change(self, subscription_id: str, **changes: Any) -> None:
        """What happens at Stripe without us."""
        self.held[subscription_id] = replace(self.held[subscription_id], **changes)

    def lose_customer(self, customer_id: str) -> None:
        """Somebody deletes a customer with all it has."""
        self.customers = [one for one in self.customers if one[0] != customer_id]
        self.held = {k: one for k, one in self.held.items() if one.customer_id != customer_id}

    def _fail(self) -> None:
        self.calls += 1
        self.meanwhile()
        if self.failures:
            raise BillingFailed(self.failures.pop(0))

    def _answer(self) -> None:
        if self.lose_answers:
            self.lose_answers -= 1
            raise BillingFailed("stripe_unreachable")

    async def list_customers(self, tenant: str, email: str) -> list[str]:
        self.lookups += 1
        self._fail()
        return [c for c, t, e in self.customers if (t, e) == (tenant, email)]

    async def list_all_customers(self) -> list[tuple[str, str | None]]:
        self._fail()
        return [(customer_id, tenant or None) for customer_id, tenant, _ in reversed(self.customers)]

    async def has_customer(self, customer_id: str) -> bool:
        self._fail()
        return customer_id in {c for c, _, _ in self.customers}

    async def create_customer(self, tenant: str, email: str, name: str, key: str) -> str:
        self._fail()
        customer = f"cus_{next(_NUMBERS)}"
        self.customers.append((customer, tenant, email))
        self.keys.append(key)
        self._answer()
        return customer

    async def delete_customer(self, customer_id: str) -> None:
        self._fail()
        self.lose_customer(customer_id)
        self._answer()

    async def list_subscriptions(self, customer_id: str, tenant: str) -> list[Subscription]:
        self._fail()
        found = [one for one in self.held.values() if one.customer_id == customer_id]
        return [one for one in found if self._tenants[one.subscription_id] == tenant]

    async def create_subscription(
        self, customer_id: str, tenant: str, price: Price, key: str
    ) -> Subscription:
        self._fail()
        made = f"sub_{next(_NUMBERS)}"
        self.held[made] = Subscription(made, customer_id, "trialing", price.plan_id, f"si_{made}")
        self._tenants[made] = tenant
        self.keys.append(key)
        self._answer()
        return self.held[made]

    async def change_plan(self, held: Subscription, price: Price, key: str) -> Subscription:
        self._fail()
        self.change(held.subscription_id, price_id=price.plan_id)
        self.keys.append(key)
        self.changes.append(price.plan_id)
        self._answer()
        return self.held[held.subscription_id]

    async def cancel_subscription(self, subscription_id: str) -> None:
        self._fail()
        self.change(subscription_id, status="canceled")
        self.canceled.append(subscription_id)
        self._answer()

    async def list_invoices(
        self, customer_id: str, limit: int, after: str | None
    ) -> tuple[list[Invoice], str | None]:
        """Three, of which each page shows as many as asked for."""
        self._fail()
        ids = [f"in_{customer_id}_{number}" for number in (3, 2, 1)]
        rest = ids[ids.index(after) + 1 :] if after else ids
        found = [
            Invoice(
                invoice_id=one,
                number=None,
                status="paid",
                currency="usd",
                amount_due=2900,
                amount_paid=2900,
                created_at=datetime(2026, 11, 1, tzinfo=UTC),
                url=f"https://invoice.stripe.example/{one}",
            )
            for one in rest[:limit]
        ]
        return found, found[-1].invoice_id if len(rest) > limit else None

    async def open_portal(self, customer_id: str, return_url: str) -> str:
        self._fail()
        return f"https://billing.stripe.example/{customer_id}"

    async def open_checkout(self, customer_id: str, tenant: str, price: Price, return_url: str) -> str:
        self._fail()
        return f"https://checkout.stripe.example/{customer_id}/{tenant}/{price.plan_id}"
