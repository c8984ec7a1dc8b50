"""Route `/api/v1/webhooks/stripe`: takes events of Stripe's and keeps them for the worker.

Not in the API document: nobody but Stripe can sign what it takes.
"""

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from common.context import SystemContext
from common.ids import PLATFORM_TENANT
from common.web.deps import Shared
from common.web.routes import PublicRoute
from tenants.parts import Parts
from tenants.webhook import gateway, queries

router = APIRouter(prefix="/api/v1/webhooks", route_class=PublicRoute, include_in_schema=False)

Signature = Annotated[str | None, Header(alias="Stripe-Signature")]


@router.post("/stripe")
async def receive_event(
    request: Request, shared: Shared, parts: Parts, signature: Signature = None
) -> Response:
    """Keep the event; told again, it is the same one."""
    settings = parts.settings
    secret = settings.stripe_webhook_secret.get_secret_value()
    told = gateway.read(await request.body(), signature, secret, settings.stripe_webhook_tolerance)
    async with shared.database.tenant(SystemContext(PLATFORM_TENANT, "public", shared.service)) as session:
        await queries.put_event(session, told.event_id, told.type, told.customer_id)
        await session.commit()
    return Response()
