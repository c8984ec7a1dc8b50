"""The application of a service: routes, middleware, error handlers, health."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from common import pulse
from common.db.errors import is_unavailable
from common.web import error_handlers
from common.web.hot import shorten
from common.web.kernel import Kernel, kernel_of
from common.web.middleware import RequestMiddleware
from common.web.platform import PlatformRoute
from common.web.routes import InternalRoute, PublicRoute, TenantRoute

_health = APIRouter(prefix="/health", route_class=PublicRoute, include_in_schema=False)


@_health.get("/live")
async def live() -> JSONResponse:
    """Alive unless one of the process's loops hangs, and only a restart can help."""
    hanging = pulse.list_stopped()
    told = {"status": "hanging" if hanging else "alive", "hanging": hanging}
    return JSONResponse(told, _status(not hanging))


@_health.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Ready when the database answers, the token keys are here (where there are tokens to verify) and no
    consumer had to stop; no more when the process has been told to stop, though it still serves.

    The broker may be away.
    """
    checks, stopped = await _check(request)
    checks |= {f"consumer {name}": False for name in stopped}
    return JSONResponse({"checks": checks}, _status(all(checks.values())))


@_health.get("/serving")
async def serving(request: Request) -> JSONResponse:
    """Whether requests may come here, which is what gateways ask: as `ready`, but a consumer that had to stop
    takes the API from nobody."""
    checks, _ = await _check(request)
    return JSONResponse({"checks": checks}, _status(all(checks.values())))


async def _check(request: Request) -> tuple[dict[str, bool], list[str]]:
    """What requests need, and the consumers that stopped."""
    kernel = kernel_of(request)
    checks = {"database": True, "staying": not kernel.leaving.is_set()}
    if request.app.state.verifies_tokens:
        checks["keys"] = kernel.verifier.keys.loaded
    try:
        return checks, await kernel.database.list_stopped_consumers()
    except Exception as error:
        if not is_unavailable(error):
            raise
        return {**checks, "database": False}, []


def _status(good: bool) -> int:
    return 200 if good else 503


def create_app(kernel: Kernel, routers: Sequence[APIRouter]) -> FastAPI:
    """The FastAPI application.

    Raises:
        TypeError: a route is neither a tenant's, the platform's, public nor internal.
    """
    app = FastAPI(
        telemetry={"tracing": False, "metrics": False, "logs": False},  # docs/adr/0006-own-spans.md
        title=f"PenguinMails {kernel.service}",
        version="1.0.0",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # one document of all services: common.web.openapi
        redirect_slashes=False,
    )
    app.state.kernel = kernel
    app.state.verifies_tokens = bool(routers)
    for router in (*routers, _health):
        for route in router.routes:
            if not isinstance(route, TenantRoute | PlatformRoute | PublicRoute | InternalRoute):
                raise TypeError(f"{route!r} is neither a tenant's, the platform's, public nor internal")
        app.include_router(router)
    error_handlers.install(app)
    return app


def create_probes(kernel: Kernel) -> FastAPI:
    """Health alone, of a process that takes no requests."""
    return create_app(kernel, ())


def asgi(app: FastAPI) -> ASGIApp:
    """`app` inside the middleware every request passes."""
    kernel: Kernel = app.state.kernel
    return RequestMiddleware(shorten(app), kernel.leaving)
