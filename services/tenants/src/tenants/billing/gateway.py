"""Stripe, through its own SDK. Never called inside a database transaction.

Idempotency keys protect a call for a day, and not on every server that speaks Stripe's protocol; so what
is to be made is looked for first. Customers and subscriptions carry our tenant's id as metadata.
"""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import stripe
from opentelemetry.trace import SpanKind

from common import telemetry
from tenants.billing.rules import CURRENCY, TRIAL_DAYS, Price

_TIMEOUT_SECONDS = 5.0
_OVER = ("canceled", "incomplete_expired")


class BillingFailed(Exception):
    """Stripe did not do it. `code` names the reason without any detail of ours or theirs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Subscription:
    subscription_id: str
    status: str


class Stripe:
    """One Stripe account."""

    def __init__(self, secret_key: str, api_base: str) -> None:
        stripe.enable_telemetry = False
        self._api = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base.rstrip("/")},
            http_client=stripe.HTTPXClient(timeout=_TIMEOUT_SECONDS),
            max_network_retries=0,
        ).v1

    async def find_customer(self, tenant: str, email: str) -> str | None:
        """Id of the tenant's customer. Lists by e-mail: unlike search, that sees what was just made."""
        async with _call("customers.list"):
            page = await self._api.customers.list_async({"email": email, "limit": 100})
            async for customer in page.auto_paging_iter():
                if _belongs_to(customer, tenant):
                    return customer.id
        return None

    async def create_customer(self, tenant: str, email: str, name: str, key: str) -> str:
        async with _call("customers.create"):
            customer = await self._api.customers.create_async(
                {"email": email, "name": name, "metadata": {"tenant_id": tenant}}, {"idempotency_key": key}
            )
        return customer.id

    async def find_subscription(self, customer_id: str, tenant: str) -> Subscription | None:
        """The customer's subscription that is not over."""
        async with _call("subscriptions.list"):
            page = await self._api.subscriptions.list_async(
                {"customer": customer_id, "status": "all", "limit": 100}
            )
            async for found in page.auto_paging_iter():
                if _belongs_to(found, tenant) and found.status not in _OVER:
                    return Subscription(found.id, found.status)
        return None

    async def create_subscription(
        self, customer_id: str, tenant: str, price: Price, key: str
    ) -> Subscription:
        """A trial of the plan, which is made in this Stripe account when it is not there yet."""
        async with _call("subscriptions.create"):
            try:
                return await self._subscribe(customer_id, tenant, price, key)
            except stripe.InvalidRequestError as error:
                if error.http_status != 404 and error.code != "resource_missing":
                    raise
            await self._make_plan(price)
            return await self._subscribe(customer_id, tenant, price, f"{key}/with-plan")

    async def end_subscription(self, subscription_id: str) -> None:
        """End it now, so that nothing is charged any more; that it is over already is as good."""
        async with _call("subscriptions.cancel"):
            try:
                await self._api.subscriptions.cancel_async(subscription_id)
            except stripe.InvalidRequestError as error:
                if error.http_status != 404 and error.code != "resource_missing":
                    raise

    async def _subscribe(self, customer_id: str, tenant: str, price: Price, key: str) -> Subscription:
        made = await self._api.subscriptions.create_async(
            {
                "customer": customer_id,
                "items": [{"plan": price.plan_id}],
                "trial_period_days": TRIAL_DAYS,
                "metadata": {"tenant_id": tenant},
            },
            {"idempotency_key": key},
        )
        return Subscription(made.id, made.status)

    async def _make_plan(self, price: Price) -> None:
        """Product and plan; their ids are ours, so nothing is made twice."""
        await _once(self._api.products.create_async({"id": price.product_id, "name": price.name}))
        await _once(
            self._api.plans.create_async(
                {
                    "id": price.plan_id,
                    "product": price.product_id,
                    "amount": price.amount,
                    "currency": CURRENCY,
                    "interval": "month",
                }
            )
        )


async def _once(creation: Awaitable[object]) -> None:
    """Create something under an id of our own; that it is there already is as good."""
    try:
        await creation
    except stripe.StripeError as error:
        if error.http_status != 409 and error.code != "resource_already_exists":
            raise


def _belongs_to(found: stripe.Customer | stripe.Subscription, tenant: str) -> bool:
    metadata = found.metadata
    return metadata is not None and "tenant_id" in metadata and metadata["tenant_id"] == tenant


@asynccontextmanager
async def _call(name: str) -> AsyncGenerator[None]:
    with telemetry.span(f"stripe {name}", SpanKind.CLIENT):
        try:
            yield
        except stripe.APIConnectionError as error:
            raise BillingFailed("stripe_unreachable") from error
        except stripe.StripeError as error:
            raise BillingFailed(error.code or f"stripe_status_{error.http_status}") from error
