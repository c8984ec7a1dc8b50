"""The stand-in for Stripe as a process: what localstripe can, and the pages and events it cannot."""

import asyncio
import os
import signal
import sys
import time
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


class Server:
    """The stand-in, which can be started again on what it keeps in its folder."""

    def __init__(self, folder: Path, ear: int) -> None:
        port, inner = (ports.random_free(set()) for _ in range(2))
        self.url = f"http://127.0.0.1:{port}"
        self.store = folder / "localstripe.pickle"
        places = ["--port", str(port), "--inner-port", str(inner), "--folder", str(folder)]
        hook = ["--webhook", f"http://127.0.0.1:{ear}/"]
        self._command = [sys.executable, "-m", "penguinmails.stripe", *places, *hook]
        self._log = folder / "log"

    async def start(self) -> None:
        with self._log.open("ab") as log:
            environment = {**os.environ, "STRIPE_WEBHOOK_SECRET": SECRET}
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, env=environment
            )

    @property
    def inner(self) -> int:
        """Pid of localstripe."""
        (inner,) = psutil.Process(self.process.pid).children()
        return inner.pid

    async def ended(self) -> None:
        async with asyncio.timeout(30):
            await self.process.wait()


@pytest.fixture
async def server(tmp_path: Path, heard: Heard) -> AsyncIterator[Server]:
    async with Ear(heard) as ear:
        server = Server(tmp_path, ear)
        await server.start()
        yield server
        if server.process.returncode is None:
            server.process.terminate()
        await server.ended()


@pytest.fixture
async def stripe(server: Server) -> AsyncIterator[Stripe]:
    client = Stripe("sk_test_local", server.url)
    await until_it_answers(client)
    yield client
    await client.close()


async def until_it_answers(client: Stripe) -> None:
    async with asyncio.timeout(30):
        while not await _answers(client):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.05)


async def _answers(client: Stripe) -> bool:
    try:
        await client.list_all_customers()
    except BillingFailed:
        return False
    return True


async def test_it_is_localstripe_with_pages_and_signed_events(
    stripe: Stripe, heard: Heard, server: Server
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

    os.kill(server.inner, signal.SIGKILL)
    await server.ended()


async def test_a_kill_in_the_middle_of_a_request_leaves_nothing_half_made(
    stripe: Stripe, server: Server
) -> None:
    """localstripe saves whenever anything is put into its store; it is killed as soon as it has."""
    first, second = [await stripe.create_customer("tenant", f"{n}@example.com", n, n) for n in "ab"]
    made = await stripe.create_subscription(first, "tenant", PRICES["starter"], "first")
    victim, before = server.inner, server.store.stat().st_ino

    def kill_when_it_has_saved() -> None:
        deadline = time.monotonic() + 30
        while server.store.stat().st_ino == before and time.monotonic() < deadline:
            pass
        os.kill(victim, signal.SIGKILL)

    killing = asyncio.create_task(asyncio.to_thread(kill_when_it_has_saved))
    making = asyncio.create_task(stripe.create_subscription(second, "tenant", PRICES["starter"], "second"))
    await killing
    await asyncio.wait({making})
    told = [] if making.exception() else [making.result()]
    await server.ended()
    await server.start()
    await until_it_answers(stripe)
    assert await stripe.list_subscriptions(first, "tenant") == [made]
    kept = await stripe.list_subscriptions(second, "tenant")
    assert [one.status for one in kept] in ([], [made.status])
    assert [one for one in told if one not in kept] == []
