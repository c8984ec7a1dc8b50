"""What the routes of one service share, made by the composition root and kept on `app.state`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import HTTPConnection

from common.context import UserContext
from common.db.engine import note_denial
from common.db.errors import EntryRefused, MemberUnknown
from common.db.hot import HotSession
from common.db.paging import Cursors
from common.db.session import Database, TenantSession
from common.errors import Unauthenticated, Unavailable
from common.settings import ServiceSettings
from common.web.access import AccessLog
from common.web.ratelimit import RateLimiter
from common.web.tokens import TokenVerifier

PROJECTION_WAIT_SECONDS = 2.0
"""How long a valid token waits for the projection to learn of its user."""
_POLL_SECONDS = 0.025

SessionT = TypeVar("SessionT", TenantSession, HotSession)
Open = Callable[[UserContext], AbstractAsyncContextManager[SessionT]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """The shared parts of one service process."""

    service: str
    settings: ServiceSettings
    database: Database
    verifier: TokenVerifier
    access_log: AccessLog
    cursors: Cursors
    rate_limiter: RateLimiter
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process was told to stop."""

    @asynccontextmanager
    async def enter(self, caller: UserContext) -> AsyncGenerator[TenantSession]:
        """The caller's session, waiting for a projection that lags behind the token.

        Raises:
            Unauthenticated: the user, the session or the tenant has ended.
            Unavailable: the user is still unknown after `PROJECTION_WAIT_SECONDS`.
        """
        async with AsyncExitStack() as stack:
            yield await self._open(stack, self.database.tenant, caller)

    @asynccontextmanager
    async def enter_hot(self, caller: UserContext) -> AsyncGenerator[HotSession]:
        """As `enter`, for compiled statements alone."""
        async with AsyncExitStack() as stack:
            yield await self._open(stack, self.database.hot, caller)

    async def _open(
        self, stack: AsyncExitStack, open_session: Open[SessionT], caller: UserContext
    ) -> SessionT:
        clock = asyncio.get_running_loop().time
        deadline = clock() + PROJECTION_WAIT_SECONDS
        while True:
            try:
                session = await stack.enter_async_context(open_session(caller))
                self.rate_limiter.learn(caller.tenant_id, session.standing.features)
                return session
            except EntryRefused as error:
                raise Unauthenticated from error
            except MemberUnknown as error:
                if clock() > deadline:
                    note_denial("unknown")
                    raise Unavailable from error
            await asyncio.sleep(_POLL_SECONDS)


def kernel_of(connection: HTTPConnection) -> Kernel:
    """The kernel of the application that serves this request."""
    kernel: Kernel = connection.app.state.kernel
    return kernel
