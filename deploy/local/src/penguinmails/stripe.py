"""The stand-in for Stripe: localstripe, behind a door that adds what it lacks.

localstripe has none of the pages that Stripe hosts (portal, checkout), and forgets at each start where its
events are to go. It listens on an inner port, as a process of its own; everything else goes through to it.

`python -m penguinmails.stripe --port PORT --inner-port PORT --folder FOLDER --webhook URL [--host IP]`, and
the secret of the webhook as STRIPE_WEBHOOK_SECRET, or in the file that STRIPE_WEBHOOK_SECRET_FILE names.
"""

import argparse
import asyncio
import html
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from penguinmails import child

_HOST = "127.0.0.1"
_PATIENCE = 20.0
_FORWARDED = ("authorization", "content-type")
_PAGE = (
    "<!doctype html><title>{0}</title><h1>{0}</h1><p>Here Stripe's own page would open for <code>{1}</code>."
)
_TITLES = {"portal": "Billing portal", "checkout": "Checkout"}


@dataclass(frozen=True)
class Door:
    port: int
    inner_port: int
    folder: str
    webhook: str
    secret: str

    def app(self) -> Starlette:
        anything = ["GET", "POST", "DELETE"]
        return Starlette(
            routes=[
                Route("/v1/billing_portal/sessions", self.open_portal, methods=["POST"]),
                Route("/v1/checkout/sessions", self.open_checkout, methods=["POST"]),
                Route("/pages/{page}/{customer}", self.show_page),
                Route("/{path:path}", self.forward, methods=anything),
            ],
            lifespan=self.life,
        )

    @asynccontextmanager
    async def life(self, app: Starlette) -> AsyncGenerator[None]:
        """localstripe's: it is told where its events go before anybody is let in, and its end is ours."""
        server = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "penguinmails.confine", self.folder, "localstripe"],
            *["--port", str(self.inner_port)],
            stdin=asyncio.subprocess.DEVNULL,
            preexec_fn=child.dying_with_us(signal.SIGKILL),
        )
        ended = asyncio.create_task(_end_with(server))
        base = f"http://{_HOST}:{self.inner_port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=_PATIENCE) as inner:
            app.state.inner = inner
            await self._register(inner)
            yield
        ended.cancel()
        if server.returncode is None:
            server.terminate()
            await server.wait()

    async def _register(self, inner: httpx.AsyncClient) -> None:
        hook = {"url": self.webhook, "secret": self.secret}
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    answer = await inner.post("/_config/webhooks/penguinmails", json=hook)
                    answer.raise_for_status()
                    return
                except httpx.TransportError:
                    await asyncio.sleep(0.02)

    async def forward(self, request: Request) -> Response:
        """The request as it is, to localstripe."""
        inner: httpx.AsyncClient = request.app.state.inner
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        target = httpx.URL(path=request.url.path, query=request.url.query.encode())
        answer = await inner.request(request.method, target, headers=headers, content=await request.body())
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    async def open_portal(self, request: Request) -> Response:
        """A session of the billing portal."""
        return await self._open(request, "portal", "billing_portal.session", "bps")

    async def open_checkout(self, request: Request) -> Response:
        """A session of the checkout; nobody pays there, so nothing comes of it."""
        return await self._open(request, "checkout", "checkout.session", "cs")

    async def _open(self, request: Request, page: str, kind: str, prefix: str) -> Response:
        inner: httpx.AsyncClient = request.app.state.inner
        (customer_id,) = parse_qs((await request.body()).decode()).get("customer", [""])
        credentials = {"authorization": request.headers.get("authorization", "")}
        customer = await inner.get(f"/v1/customers/{customer_id}", headers=credentials)
        if not customer.is_success:
            return Response(customer.content, customer.status_code, media_type="application/json")
        made = {
            "id": f"{prefix}_{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "customer": customer_id,
            "livemode": False,
            "url": f"http://{_HOST}:{self.port}/pages/{page}/{customer_id}",
        }
        return JSONResponse(made)

    async def show_page(self, request: Request) -> Response:
        """What stands in for the page itself."""
        title = _TITLES.get(request.path_params["page"])
        if title is None:
            return Response(status_code=404)
        return HTMLResponse(_PAGE.format(title, html.escape(request.path_params["customer"])))


async def _end_with(server: asyncio.subprocess.Process) -> None:
    await server.wait()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--inner-port", type=int, required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--webhook", required=True)
    parser.add_argument("--host", default=_HOST)
    given = parser.parse_args()
    door = Door(given.port, given.inner_port, given.folder, given.webhook, _webhook_secret())
    uvicorn.run(
        door.app(), host=given.host, port=given.port, log_level="warning", timeout_graceful_shutdown=1
    )


def _webhook_secret() -> str:
    file = os.environ.get("STRIPE_WEBHOOK_SECRET_FILE")
    return Path(file).read_text().strip() if file else os.environ["STRIPE_WEBHOOK_SECRET"]


if __name__ == "__main__":
    main()
