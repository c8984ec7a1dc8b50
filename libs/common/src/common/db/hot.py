"""A tenant's transaction for compiled statements alone: see docs/adr/0030-hot-routes.md.

Three messages for one statement: BEGIN with the entry, the statement, the end. SQLAlchemy's pool hands out
the connection; its session, which costs more than all three, is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from common.context import TenantContext
from common.db.errors import DRIVER_ERRORS, TransactionLost
from common.db.statements import Records, Statement

if TYPE_CHECKING:
    from common.db.session import Standing

Enter = Callable[[PoolProxiedConnection, TenantContext], Awaitable["Standing | None"]]
"""Begins a transaction and proves the context in it."""


class HotSession:
    """A session inside one tenant. Made by `Database.hot` only.

    As with a `TenantSession` the first statement after `rollback` begins a new transaction and enters again.
    """

    def __init__(
        self, engine: Engine, enter: Enter, context: TenantContext, tell_listeners: Callable[[], None]
    ) -> None:
        self._engine, self._enter, self._tell_listeners = engine, enter, tell_listeners
        self.context = context
        self._connection: PoolProxiedConnection | None = None
        self._standing: Standing | None = None
        self._wrote_events = False

    @property
    def tenant_id(self) -> UUID:
        return self.context.tenant_id

    @property
    def standing(self) -> "Standing":
        """What the database said of the user.

        Raises:
            LookupError: no transaction has begun, or no user's.
        """
        if self._standing is None:
            raise LookupError("no user has entered")
        return self._standing

    async def connection(self) -> PoolProxiedConnection:
        """The connection of the transaction, which begins unless it has."""
        if self._connection is None:
            self._connection = await self._take()
            self._standing = await self._enter(self._connection, self.context)
        return self._connection

    async def _take(self) -> PoolProxiedConnection:
        """A connection of the pool; those that have died there meanwhile are left behind."""
        while True:
            connection = await greenlet_spawn(self._engine.raw_connection)
            raw: Any = connection.driver_connection
            if not raw.is_closed():
                return connection
            connection.invalidate()

    async def fetch(self, statement: Statement, **values: Any) -> Records:
        """What the statement finds for the session's tenant."""
        return await statement.run(await self.connection(), self.tenant_id, values)

    def note_events(self) -> None:
        """Have the relay woken after this transaction's commit."""
        self._wrote_events = True

    async def commit(self) -> None:
        """End the transaction.

        Raises:
            TransactionLost: a statement had failed in it, so there is nothing to commit.
        """
        raw: Any = (await self.connection()).driver_connection
        ended = await raw.execute("COMMIT")
        await self._give_back()
        if ended != "COMMIT":
            raise TransactionLost
        if self._wrote_events:
            self._wrote_events = False
            self._tell_listeners()

    async def rollback(self) -> None:
        """Undo what was done since the last commit; a cancellation waits until the connection is clean."""
        self._wrote_events = False
        if self._connection is not None:
            await asyncio.shield(asyncio.ensure_future(self._undo(self._connection)))

    async def _undo(self, connection: PoolProxiedConnection) -> None:
        raw: Any = connection.driver_connection
        try:
            await raw.execute("ROLLBACK")
        except (OSError, *DRIVER_ERRORS) as error:
            self._connection = None
            connection.invalidate(error)
        await self._give_back()

    async def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await greenlet_spawn(connection.close)
