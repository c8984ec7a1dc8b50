"""Route classes: every route is a tenant's, public or internal, and the class decides what it takes.

`create_app` refuses routes of any other class, so a route cannot forget authentication.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, ClassVar, get_args

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from common import metrics, telemetry
from common.context import RequestInfo, UserContext
from common.contracts.audit import Target
from common.errors import CrossTenantForbidden, TooManyRequests, Unauthenticated
from common.ids import Kind, parse, to_text
from common.metric_names import RATE_LIMIT_REFUSED
from common.schema import Problem
from common.web.idempotency import Replayed, await_body, keep_answer
from common.web.kernel import kernel_of
from common.web.ratelimit import CountedFor, Quota

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
MakeHandler = Callable[[APIRoute, Handler], Handler]
HOT = "make_hot_handler"
"""The attribute of an endpoint that has a handler of its own made (`common.web.hot`)."""

_refused = metrics.counter(
    RATE_LIMIT_REFUSED, *({"app.counted_for": counted_for} for counted_for in get_args(CountedFor))
)

_PROBLEM: dict[str, Any] = {
    "model": Problem,
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
TENANT_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {**_PROBLEM, "description": "No valid access token"},
    403: {**_PROBLEM, "description": "The role does not allow it, or a foreign tenant was named"},
    404: {**_PROBLEM, "description": "Unknown, foreign, or in a workspace that is not yours"},
    422: {**_PROBLEM, "description": "The request is not acceptable"},
    429: {**_PROBLEM, "description": "Too many requests of the tenant"},
    503: {**_PROBLEM, "description": "A dependency is away"},
}
PUBLIC_PROBLEMS: dict[int | str, dict[str, Any]] = {
    422: {**_PROBLEM, "description": "The request is not acceptable"},
    503: {**_PROBLEM, "description": "A dependency is away"},
}


class PublicRoute(APIRoute):
    """Takes anybody."""


class InternalRoute(APIRoute):
    """Takes other services with a service token; the gateway does not route it."""


class TenantRoute(APIRoute):
    """Takes verified users of one tenant, within its rate limit, and compares every tenant the request names
    with theirs."""

    COUNTED_FOR: ClassVar[CountedFor] = "tenant"
    WHILE_SUSPENDED: ClassVar[bool] = False
    """Whether it works for a tenant that is suspended or being deleted; others only read for its owners and
    admins then."""

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()
        make_hot: MakeHandler | None = getattr(self.endpoint, HOT, None)
        if make_hot is not None:
            inner = make_hot(self, inner)

        async def handle(request: Request) -> Response:
            caller = await _authenticate(request)
            request.state.caller = caller
            telemetry.log_fields.set(
                {
                    **telemetry.log_fields.get({}),
                    "tenant_id": to_text(Kind.TENANT, caller.tenant_id),
                    "user_id": to_text(Kind.USER, caller.user_id),
                }
            )
            note_quota(request, await kernel_of(request).rate_limiter.take(caller, self.COUNTED_FOR))
            refuse_foreign_tenants(request, caller)
            await await_body(request)
            try:
                response = await inner(request)
            except Replayed as replayed:
                return replayed.response
            await keep_answer(request, response)
            if request.method in ("GET", "HEAD"):
                kernel_of(request).access_log.read(
                    caller, caller.request, response.status_code, path_targets(request.path_params)
                )
            return response

        return handle


class StandingRoute(TenantRoute):
    """About whether the tenant stays, and what it takes along: works while it is suspended, too."""

    WHILE_SUSPENDED = True


class AccountRoute(TenantRoute):
    """About the caller's own account only: works while the tenant is suspended, too."""

    WHILE_SUSPENDED = True


class ExitRoute(AccountRoute):
    """Ends the caller's sessions. Counted for each session by itself: neither a colleague nor a thief who
    uses up the tenant's requests can keep anybody signed in."""

    COUNTED_FOR = "session"


def routes_in(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """All routes of an application or router, those of the routers it includes as well."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from routes_in(included.routes)
        elif isinstance(route, APIRoute):
            yield route


def methods_at(routes: Iterable[Any], path: str) -> list[str]:
    """What a path can be asked with; the framework's own `Allow` names the methods of one route only."""
    found = [route.methods or set[str]() for route in routes_in(routes) if route.path_regex.match(path)]
    return sorted(set[str]().union(*found))


def account_router(prefix: str, tag: str) -> APIRouter:
    """A router for routes about the caller's own account."""
    return APIRouter(
        prefix=f"/api/v1{prefix}", tags=[tag], route_class=AccountRoute, responses=TENANT_PROBLEMS
    )


def exit_router(prefix: str, tag: str) -> APIRouter:
    """A router for routes that end the caller's sessions."""
    return APIRouter(prefix=f"/api/v1{prefix}", tags=[tag], route_class=ExitRoute, responses=TENANT_PROBLEMS)


def standing_router(prefix: str, tag: str) -> APIRouter:
    """A router for routes about whether the tenant stays."""
    return APIRouter(
        prefix=f"/api/v1{prefix}", tags=[tag], route_class=StandingRoute, responses=TENANT_PROBLEMS
    )


def tenant_router(prefix: str, tag: str) -> APIRouter:
    """A router for routes that need a tenant's user."""
    return APIRouter(
        prefix=f"/api/v1{prefix}", tags=[tag], route_class=TenantRoute, responses=TENANT_PROBLEMS
    )


def public_router(prefix: str, tag: str) -> APIRouter:
    """A router for routes that anybody may call."""
    return APIRouter(
        prefix=f"/api/v1{prefix}", tags=[tag], route_class=PublicRoute, responses=PUBLIC_PROBLEMS
    )


def request_info(request: Request) -> RequestInfo:
    """What the audit log keeps of a request. The address is what the gateway appended last."""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    peer = request.client.host if request.client else ""
    route = request.scope.get("route")
    return RequestInfo(
        request_id=request.state.request_id,
        method=request.method,
        route=getattr(route, "path_format", ""),
        ip=_clean(forwarded or peer, 64),
        user_agent=_clean(request.headers.get("user-agent", ""), 255),
    )


def _clean(text: str, length: int) -> str:
    printable = text if text.isprintable() else "".join(char for char in text if char.isprintable())
    return printable[:length]


def bearer_token(request: Request) -> str:
    """The token of the request.

    Raises:
        Unauthenticated: there is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token


async def _authenticate(request: Request) -> UserContext:
    claims = await kernel_of(request).verifier.verify(bearer_token(request))
    return UserContext(
        tenant_id=claims.tenant_id,
        user_id=claims.user_id,
        session_id=claims.session_id,
        issued_at=claims.issued_at,
        email=claims.email,
        request=request_info(request),
    )


def note_quota(request: Request, quota: Quota) -> None:
    """Note where the request left its caller; the middleware shows it on the answer, whatever that becomes.

    Raises:
        TooManyRequests: with the seconds until the next one may come.
    """
    request.state.quota = quota
    if not quota.allowed:
        _refused.add(1, {"app.counted_for": quota.counted_for})
        raise TooManyRequests(quota.reset)


def refuse_foreign_tenants(request: Request, caller: UserContext) -> None:
    """Compare the tenant that path, header or query name with the token's.

    Raises:
        CrossTenantForbidden: one of them is not exactly the caller's own id.
    """
    asserted = [*request.headers.getlist("x-tenant-id"), *request.query_params.getlist("tenant_id")]
    own = to_text(Kind.TENANT, caller.tenant_id) if asserted else ""
    foreign = [text for text in asserted if text != own]
    in_path = request.path_params.get("tenant_id")
    if in_path is not None and is_foreign(str(in_path), caller):  # a malformed one is a 404 like every other
        foreign.append(str(in_path))
    if foreign:
        raise CrossTenantForbidden(named=_clean(foreign[0], 64))


def is_foreign(text: str, caller: UserContext) -> bool:
    """Whether `text` is a well-formed tenant id other than the caller's."""
    try:
        return parse(Kind.TENANT, text) != caller.tenant_id
    except ValueError:
        return False


def path_targets(path_params: Mapping[str, Any]) -> tuple[Target, ...]:
    """The resources that a path names: `{campaign_id}` is a campaign."""
    return tuple(
        Target(type=name.removesuffix("_id"), id=_clean(str(value), 64))
        for name, value in path_params.items()
        if name.endswith("_id")
    )
