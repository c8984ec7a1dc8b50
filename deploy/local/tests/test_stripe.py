"""The stand-in for Stripe as a process: what localstripe can, and the pages and events it cannot."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest
from services.tenants.tests.ear import Ear

from penguinmails import ports
from tenants.billing.gateway import BillingFailed, Stripe
from tenants.billing.rules import PRICES
from tenants.webhook import gateway as webhooks

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
SECRET = "whsec_of_the_stand_in"
Heard = asyncio.Queue[tuple[bytes, str]]


@pytest.fixture
def heard() -> Heard:
    return asyncio.Queue()


@pytest.fixture
async def server(tmp_path: Path, heard: Heard) -> AsyncIterator[tuple[str, Process]]:
    """Its URL and process."""
    port, inner = (ports.random_free(set()) for _ in range(2))
    async with Ear(heard) as ear:
        places = ["--port", str(port), "--inner-port", str(inner), "--folder", str(tmp_path)]
        command = [
            sys.executable,
            "-m",
            "penguinmails.stripe",
            *places,
            "--webhook",
            f"http://127.0.0.1:{ear}/",
        ]
        with (tmp_path / "log").open("wb") as log:
            environment = {**os.environ, "STRIPE_WEBHOOK_SECRET": SECRET}
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=environment)
        yield f"http://127.0.0.1:{port}", process
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
async def stripe(server: tuple[str, object]) -> AsyncIterator[Stripe]:
    client = Stripe("sk_test_local", server[0])
    async with asyncio.timeout(30):
        while not await _answers(client):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.05)
    yield client
    await client.close()


async def _answers(client: Stripe) -> bool:
    try:
        await client.list_all_customers()
    except BillingFailed:
        return False
    return True


async def test_it_is_localstripe_with_pages_and_signed_events(
    stripe: Stripe, heard: Heard, server: tuple[str, Process]
) -> None:
    customer = await stripe.create_customer("tenant", "a@example.com", "Ä & Co", "key")
    made = await stripe.create_subscription(customer, "tenant", PRICES["starter"], "key")
    assert await stripe.list_subscriptions(customer, "tenant") == [made]
    assert await stripe.list_customers("tenant", "a@example.com") == [customer]
    for url in (
        await stripe.open_portal(customer, "http://127.0.0.1/"),
        await stripe.open_checkout(customer, "tenant", PRICES["starter"], "http://127.0.0.1/"),
    ):
        async with httpx.AsyncClient() as http:
            page = await http.get(url)
        assert page.status_code == 200
        assert customer in page.text
    with pytest.raises(BillingFailed):
        await stripe.open_portal("cus_of_nobody", "http://127.0.0.1/")
    async with asyncio.timeout(30):
        told = webhooks.read(*await heard.get(), SECRET, 300)
    assert told.customer_id == customer

    _, process = server
    (inner,) = psutil.Process(process.pid).children()
    inner.send_signal(signal.SIGKILL)
    async with asyncio.timeout(30):
        await process.wait()
