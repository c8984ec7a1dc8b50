"""Routes of the platform's operators: whoever passes has no tenant, and acts for one by naming it.

A session is opened for the tenant of the path, or for the platform itself; both as the system's purpose
`platform`, with the operator as the actor of everything it writes.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from common import telemetry
from common.context import OperatorContext
from common.db.session import TenantSession
from common.errors import ResourceNotFound, Unauthenticated
from common.ids import PLATFORM_TENANT, Kind, TenantId, parse, to_text
from common.web.kernel import Kernel, kernel_of
from common.web.routes import TENANT_PROBLEMS, bearer_token, note_quota, path_targets, request_info

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **{status: TENANT_PROBLEMS[status] for status in (401, 422, 503)},
    404: {**TENANT_PROBLEMS[404], "description": "There is no such tenant"},
    429: {**TENANT_PROBLEMS[429], "description": "Too many requests of the operator"},
}


_TENANT = "tenant_id"
_CLOSED = text("SELECT true FROM tenancy.revocations WHERE tenant_id = :platform AND session_id = :operator")


class PlatformRoute(APIRoute):
    """Takes operators with a token of the platform's own audience, each within a rate limit of their own."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        may_ask_for_one = any(parameter.alias == _TENANT for parameter in self.dependant.query_params)

        async def handle(request: Request) -> Response:
            operator = await _authenticate(request)
            request.state.operator = operator
            telemetry.log_fields.set(
                {
                    **telemetry.log_fields.get({}),
                    "operator_id": to_text(Kind.OPERATOR, operator.operator_id),
                }
            )
            kernel = kernel_of(request)
            note_quota(request, await kernel.rate_limiter.take_operator(operator))
            await _require_open(kernel, operator)
            response = await inner(request)
            named = _named_tenant(request, may_ask_for_one)
            if named is not None or request.method in ("GET", "HEAD"):
                targets = path_targets(request.path_params)
                kernel.access_log.read(operator, operator.request, response.status_code, targets, of=named)
            return response

        return handle


def platform_router(prefix: str, tag: str) -> APIRouter:
    """A router for routes that need an operator."""
    return APIRouter(
        prefix=f"/api/v1/platform{prefix}", tags=[tag], route_class=PlatformRoute, responses=_PROBLEMS
    )


def operator_of(request: Request) -> OperatorContext | None:
    """Who asks, when it is an operator."""
    return getattr(request.state, "operator", None)


async def _authenticate(request: Request) -> OperatorContext:
    claims = await kernel_of(request).verifier.verify_operator(bearer_token(request))
    return OperatorContext(claims.operator_id, claims.email, request_info(request))


async def _require_open(kernel: Kernel, operator: OperatorContext) -> None:
    """Refuse tokens of an operator who was closed after they were given.

    Raises:
        Unauthenticated: so it was.
    """
    async with kernel.database.tenant(operator.at_the_platform(kernel.service)) as session:
        values = {"platform": session.tenant_id, "operator": operator.operator_id}
        if (await session.execute(_CLOSED, values)).first() is not None:
            raise Unauthenticated


def _named_tenant(request: Request, may_ask_for_one: bool) -> UUID | None:
    """The tenant of the path, or that a list was asked for; its route has answered, so it is one."""
    text = request.path_params.get(_TENANT)
    if text is None and may_ask_for_one:
        text = request.query_params.get(_TENANT)
    return None if text is None else parse(Kind.TENANT, text)


async def get_operator(request: Request) -> OperatorContext:
    operator: OperatorContext = request.state.operator
    return operator


Operator = Annotated[OperatorContext, Depends(get_operator)]


async def open_platform(request: Request, operator: Operator) -> AsyncIterator[TenantSession]:
    """A session of the platform itself; one commit at the edge, a rollback when anything is raised."""
    kernel = kernel_of(request)
    async with kernel.database.tenant(operator.at_the_platform(kernel.service)) as session:
        yield session
        await session.commit()


async def open_named_tenant(
    tenant_id: TenantId, request: Request, operator: Operator
) -> AsyncIterator[TenantSession]:
    """A session in the tenant of the path, whether or not there is one; like `open_platform`.

    Raises:
        ResourceNotFound: it is the platform, which is nobody's tenant.
    """
    if tenant_id == PLATFORM_TENANT:
        raise ResourceNotFound("tenant", tenant_id, to_text(Kind.TENANT, tenant_id))
    kernel = kernel_of(request)
    async with kernel.database.tenant(operator.acting_for(tenant_id, kernel.service)) as session:
        yield session
        await session.commit()


AtThePlatform = Annotated[TenantSession, Depends(open_platform, scope="function")]
InNamedTenant = Annotated[TenantSession, Depends(open_named_tenant, scope="function")]
