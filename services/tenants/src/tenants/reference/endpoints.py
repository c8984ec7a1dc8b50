"""Routes `/openapi.json` and `/docs`: the document of all services, and the same for people."""

from functools import cache
from importlib import resources

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from common.web.routes import PublicRoute
from tenants.reference import page

router = APIRouter(tags=["reference"], route_class=PublicRoute, include_in_schema=False)

_KEPT = {"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"}


@cache
def document() -> bytes:
    """The committed document, which is checked against the code of all services before it ships."""
    return resources.files(__package__ or "").joinpath("openapi.json").read_bytes()


@cache
def _page() -> bytes:
    return page.render(document()).encode()


@router.get("/openapi.json")
async def get_document() -> Response:
    """The OpenAPI 3.1 document of all services."""
    return Response(document(), media_type="application/json", headers=_KEPT)


@router.get("/docs")
async def get_docs() -> Response:
    """The reference page: no scripts, nothing from elsewhere."""
    headers = {**_KEPT, "Content-Security-Policy": page.POLICY, "Referrer-Policy": "no-referrer"}
    return HTMLResponse(_page(), headers=headers)
