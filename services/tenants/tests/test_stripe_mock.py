"""Every request of the gateway against Stripe's own `stripe-mock`, which checks it against Stripe's OpenAPI.

It is built by Go from the module proxy into `.cache`, once, in half a minute; without Go these tests are
skipped and say so. `make .cache/go/bin/go` gets one, as CI does.
"""

import asyncio
import inspect
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tests.programs import missing

from penguinmails import ports
from penguinmails.home import REPOSITORY
from tenants.billing.drift import Subscription
from tenants.billing.gateway import Stripe
from tenants.billing.rules import PRICES

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""The SDK's own: it gives httpx the body under a name that httpx would rather have otherwise."""
VERSION = "v0.203.0"
CACHE = REPOSITORY / ".cache"
PRICE = PRICES["starter"]
TENANT = "tenant_01kaqk3f7wfq2va3m1x3q3s5yn"


@pytest.fixture(scope="session")
def binary() -> Path:
    """The server's program, built when it is not there yet."""
    built = CACHE / f"stripe-mock-{VERSION}"
    if built.exists():
        return built
    go = shutil.which("go") or shutil.which(CACHE / "go" / "bin" / "go")
    if go is None:
        missing("go, which builds stripe-mock,", "`make .cache/go/bin/go`")
    folder = CACHE / "bin"
    environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
    command = [go, "install", f"github.com/stripe/stripe-mock@{VERSION}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        missing("stripe-mock", done.stderr.strip().splitlines()[-1])
    (folder / "stripe-mock").replace(built)
    return built


@pytest.fixture(scope="session")
def server(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a running stripe-mock of the newest API version that it knows."""
    port = ports.random_free(set())
    with (tmp_path_factory.mktemp("stripe-mock") / "log").open("wb") as log:
        process = subprocess.Popen([binary, "-http-addr", f"127.0.0.1:{port}"], stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
async def stripe(server: str) -> AsyncIterator[Stripe]:
    async with httpx.AsyncClient(base_url=server, auth=("sk_test_123", "")) as http, asyncio.timeout(30):
        while True:
            try:
                await http.get("/v1/customers")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    made = Stripe("sk_test_123", server)
    yield made
    await made.close()


async def test_customers(stripe: Stripe) -> None:
    assert (await stripe.create_customer(TENANT, "a@example.com", "Acme", "key/customer")).startswith("cus_")
    assert await stripe.list_customers(TENANT, "a@example.com") == [], "its customers are not ours"
    assert await stripe.list_all_customers()
    assert await stripe.has_customer("cus_1")
    await stripe.delete_customer("cus_1")


async def test_subscriptions(stripe: Stripe) -> None:
    made = await stripe.create_subscription("cus_1", TENANT, PRICE, "key/subscription")
    assert made.subscription_id.startswith("sub_")
    assert await stripe.list_subscriptions("cus_1", TENANT) == []
    held = Subscription("sub_1", "cus_1", "active", PRICE.plan_id, "si_1")
    assert (await stripe.change_plan(held, PRICES["enterprise"], "key/plan")).item_id
    await stripe.cancel_subscription("sub_1")


async def test_a_plan_that_is_not_there(stripe: Stripe) -> None:
    await stripe._make_plan(PRICE)


async def test_invoices(stripe: Stripe) -> None:
    found, _ = await stripe.list_invoices("cus_1", 20, "in_1")
    assert found[0].invoice_id.startswith("in_")


async def test_portal_and_checkout(stripe: Stripe) -> None:
    assert (await stripe.open_portal("cus_1", "https://app.example/")).startswith("https://")
    url = await stripe.open_checkout("cus_1", TENANT, PRICE, "https://app.example/")
    assert url.startswith("https://")


async def test_the_server_refuses_what_stripe_does_not_know(server: str) -> None:
    """The positive control of all the others."""
    async with httpx.AsyncClient(base_url=server, auth=("sk_test_123", "")) as http:
        answer = await http.post("/v1/customers", data={"no_such_parameter": "1"})
    assert answer.status_code == 400
    assert "additional properties are not allowed" in answer.text


def test_every_request_of_the_gateway_is_tried() -> None:
    tried = "".join(inspect.getsource(one) for name, one in globals().items() if name.startswith("test_"))
    found = inspect.getmembers(Stripe, inspect.isfunction)
    public = {name for name, _ in found if not name.startswith("_")} - {"close"}
    assert {name for name in public if f"stripe.{name}(" not in tried} == set()
