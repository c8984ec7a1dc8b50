"""Dependencies of tenant routes. The session commits before the answer is sent."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import Request

from common.context import TenantRole, UserContext
from common.db.session import AnySession, TenantSession
from common.errors import Forbidden, TenantSuspended
from common.web.idempotency import replay_or_take
from common.web.kernel import Kernel, kernel_of
from common.web.routes import TenantRoute

READS = ("GET", "HEAD")


async def open_session(request: Request) -> AsyncIterator[TenantSession]:
    """The caller's tenant session; one commit at the edge, a rollback when anything is raised."""
    caller: UserContext = request.state.caller
    async with kernel_of(request).enter(caller) as session:
        respect_suspension(session, request)
        yield session
        await session.commit()


def respect_suspension(session: AnySession, request: Request) -> None:
    """Raises:
    TenantSuspended: the tenant is suspended, and the route or the caller's role does not go on meanwhile.
    """
    standing, route = session.standing, request.scope["route"]
    if standing.tenant_status == "active" or (isinstance(route, TenantRoute) and route.WHILE_SUSPENDED):
        return
    if request.method not in READS or standing.role == "member":
        raise TenantSuspended


Opened = Annotated[TenantSession, Depends(open_session, scope="function")]


async def keyed_session(request: Request, session: Opened) -> TenantSession:
    """The session, unless the request's key has its answer: whoever may not ask (any more) is told so first,
    because roles are dependencies of the route and these come before those of the endpoint."""
    await replay_or_take(request, session)
    return session


async def get_kernel(request: Request) -> Kernel:
    """Asynchronous, for the framework runs other dependencies in a thread."""
    return kernel_of(request)


async def get_caller(request: Request) -> UserContext:
    caller: UserContext = request.state.caller
    return caller


Session = Annotated[TenantSession, Depends(keyed_session, scope="function")]
HotSession = Annotated[AnySession, Depends(keyed_session, scope="function")]
"""The session of a hot route (`common.web.hot`): compiled statements alone."""
Caller = Annotated[UserContext, Depends(get_caller)]
Shared = Annotated[Kernel, Depends(get_kernel)]
Limit = Annotated[int, Query(ge=1, le=100, description="Items per page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


def allow(*roles: TenantRole) -> Callable[[Opened], Awaitable[None]]:
    """A dependency that lets only these tenant roles pass, by the role the database knows now."""

    async def check(session: Opened) -> None:
        if session.standing.role not in roles:
            raise Forbidden

    return check


owner_or_admin = Depends(allow("owner", "admin"))
owner_only = Depends(allow("owner"))
