"""Stripe, through its own SDK. Never called inside a database transaction.

Idempotency keys protect a call for a day, and not on every server that speaks Stripe's protocol; so what
is to be made is looked for first. Customers and subscriptions carry our tenant's id as metadata.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import stripe
from opentelemetry.trace import SpanKind

from common import telemetry
from tenants.billing.drift import Subscription
from tenants.billing.rules import CURRENCY, TRIAL_DAYS, Price
from tenants.billing.schemas import Invoice
from tenants.settings import TenantsSettings

_TIMEOUT_SECONDS = 5.0
_PAGE = 100
Made = TypeVar("Made")


class BillingFailed(Exception):
    """Stripe did not do it. `code` names the reason without any detail of ours or theirs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Stripe:
    """One Stripe account."""

    def __init__(self, secret_key: str, api_base: str) -> None:
        stripe.enable_telemetry = False
        self._http = stripe.HTTPXClient(timeout=_TIMEOUT_SECONDS)
        self._api = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base.rstrip("/")},
            http_client=self._http,
            max_network_retries=0,
        ).v1

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.close_async()

    async def list_customers(self, tenant: str, email: str) -> list[str]:
        """The tenant's customers, oldest first. Lists by e-mail: unlike search, that sees the newest."""
        async with _call("customers.list"):
            page = await self._api.customers.list_async({"email": email, "limit": _PAGE})
            found = [one async for one in page.auto_paging_iter() if _tenant_of(one) == tenant]
        return [one.id for one in sorted(found, key=lambda one: one.created)]

    async def list_all_customers(self) -> list[tuple[str, str | None]]:
        """Every customer of the account, newest first, with the tenant that its metadata names."""
        async with _call("customers.list"):
            page = await self._api.customers.list_async({"limit": _PAGE})
            return [(one.id, _tenant_of(one)) async for one in page.auto_paging_iter()]

    async def has_customer(self, customer_id: str) -> bool:
        """Whether the customer is there and was not deleted."""
        async with _call("customers.retrieve"):
            found = await _or_none(self._api.customers.retrieve_async(customer_id))
        return found is not None and not getattr(found, "deleted", False)

    async def create_customer(self, tenant: str, email: str, name: str, key: str) -> str:
        async with _call("customers.create"):
            customer = await self._api.customers.create_async(
                {"email": email, "name": name, "metadata": {"tenant_id": tenant}}, {"idempotency_key": key}
            )
        return customer.id

    async def delete_customer(self, customer_id: str) -> None:
        """Delete a customer; one that is not there is as good."""
        async with _call("customers.delete"):
            await _or_none(self._api.customers.delete_async(customer_id))

    async def list_subscriptions(self, customer_id: str, tenant: str) -> list[Subscription]:
        """The customer's subscriptions that were made for the tenant, oldest first, also those that ended;
        none of a customer that is not there."""
        async with _call("subscriptions.list"):
            page = await _or_none(
                self._api.subscriptions.list_async({"customer": customer_id, "status": "all", "limit": _PAGE})
            )
            if page is None:
                return []
            found = [one async for one in page.auto_paging_iter() if _tenant_of(one) == tenant]
            return [_subscription(one) for one in sorted(found, key=lambda one: one.created)]

    async def create_subscription(
        self, customer_id: str, tenant: str, price: Price, key: str
    ) -> Subscription:
        """A trial of the plan."""

        async def subscribe(key: str) -> stripe.Subscription:
            return await self._api.subscriptions.create_async(
                {
                    "customer": customer_id,
                    "items": [{"plan": price.plan_id}],
                    "trial_period_days": TRIAL_DAYS,
                    "metadata": {"tenant_id": tenant},
                },
                {"idempotency_key": key},
            )

        async with _call("subscriptions.create"):
            return _subscription(await self._with_plan(price, key, subscribe))

    async def change_plan(self, held: Subscription, price: Price, key: str) -> Subscription:
        """Put the subscription on another plan; Stripe settles the difference with the next invoice."""

        async def update(key: str) -> stripe.Subscription:
            return await self._api.subscriptions.update_async(
                held.subscription_id,
                {"items": [{"id": held.item_id, "plan": price.plan_id}]},
                {"idempotency_key": key},
            )

        async with _call("subscriptions.update"):
            return _subscription(await self._with_plan(price, key, update))

    async def cancel_subscription(self, subscription_id: str) -> None:
        """End a subscription now; one that is not there is as good."""
        async with _call("subscriptions.cancel"):
            await _or_none(self._api.subscriptions.cancel_async(subscription_id))

    async def list_invoices(
        self, customer_id: str, limit: int, after: str | None
    ) -> tuple[list[Invoice], str | None]:
        """Invoices from the newest on, or after the one named; and the last one's id if there are more."""
        asked: Any = {"customer": customer_id, "limit": limit, **({"starting_after": after} if after else {})}
        async with _call("invoices.list"):
            page = await self._api.invoices.list_async(asked)
            found = [_invoice(one) for one in page.data]
        return found, found[-1].invoice_id if page.has_more and found else None

    async def open_portal(self, customer_id: str, return_url: str) -> str:
        """URL of a page at Stripe where the customer sees to payment method, invoices and subscription."""
        async with _call("billing_portal.sessions.create"):
            made = await self._api.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}
            )
        return made.url

    async def open_checkout(self, customer_id: str, tenant: str, price: Price, return_url: str) -> str:
        """URL of a page at Stripe where the customer pays for a new subscription to the plan."""

        async def open_page(_: str) -> stripe.checkout.Session:
            return await self._api.checkout.sessions.create_async(
                {
                    "mode": "subscription",
                    "customer": customer_id,
                    "line_items": [{"price": price.plan_id, "quantity": 1}],
                    "subscription_data": {"metadata": {"tenant_id": tenant}},
                    "success_url": return_url,
                    "cancel_url": return_url,
                }
            )

        async with _call("checkout.sessions.create"):
            made = await self._with_plan(price, "", open_page)
        if made.url is None:
            raise BillingFailed("stripe_without_url")
        return made.url

    async def _with_plan(self, price: Price, key: str, ask: Callable[[str], Awaitable[Made]]) -> Made:
        """What `ask` makes; when this Stripe account has no such plan yet, once more after making it."""
        try:
            return await ask(key)
        except stripe.InvalidRequestError as error:
            if not _is_missing(error):
                raise
        await self._make_plan(price)
        return await ask(f"{key}/with-plan")

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


def connect(settings: TenantsSettings) -> Stripe:
    """The installation's Stripe account."""
    return Stripe(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base)


@asynccontextmanager
async def opened_stripe(settings: TenantsSettings) -> AsyncGenerator[Stripe]:
    """The installation's Stripe account, for as long as a worker needs it."""
    stripe = connect(settings)
    try:
        yield stripe
    finally:
        await stripe.close()


def _subscription(found: stripe.Subscription) -> Subscription:
    item = found["items"]["data"][0]
    sold = item["price"] if "price" in item else item["plan"]  # what newer and what older versions call it
    return Subscription(found.id, _id_of(found.customer), found.status, sold["id"], item["id"])


def _id_of(found: str | stripe.Customer) -> str:
    return found if isinstance(found, str) else found.id


def _invoice(found: stripe.Invoice) -> Invoice:
    return Invoice(
        invoice_id=str(found.id),
        number=getattr(found, "number", None),
        status=found.status or "draft",
        currency=found.currency,
        amount_due=found.amount_due,
        amount_paid=found.amount_paid,
        created_at=datetime.fromtimestamp(found.created, UTC),
        url=getattr(found, "hosted_invoice_url", None),
    )


async def _once(creation: Awaitable[object]) -> None:
    """Create something under an id of our own; that it is there already is as good."""
    try:
        await creation
    except stripe.StripeError as error:
        if error.http_status != 409 and error.code != "resource_already_exists":
            raise


async def _or_none(asked: Awaitable[Made]) -> Made | None:
    """What was asked for, or None when Stripe does not have it."""
    try:
        return await asked
    except stripe.InvalidRequestError as error:
        if not _is_missing(error):
            raise
        return None


def _is_missing(error: stripe.StripeError) -> bool:
    return error.http_status == 404 or error.code == "resource_missing"


def _tenant_of(found: stripe.Customer | stripe.Subscription) -> str | None:
    metadata = found.metadata
    return metadata["tenant_id"] if metadata is not None and "tenant_id" in metadata else None


@asynccontextmanager
async def _call(name: str) -> AsyncGenerator[None]:
    with telemetry.span(f"stripe {name}", SpanKind.CLIENT):
        try:
            yield
        except stripe.APIConnectionError as error:
            raise BillingFailed("stripe_unreachable") from error
        except stripe.StripeError as error:
            raise BillingFailed(error.code or f"stripe_status_{error.http_status}") from error
        except (LookupError, AttributeError) as error:
            raise BillingFailed("stripe_answer_unknown") from error
