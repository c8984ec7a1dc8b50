"""A tenant's transaction for compiled statements alone: see docs/adr/0030-hot-routes.md.

Three messages for one statement: BEGIN with the entry, the statement, the end. SQLAlchemy's pool hands out
the connection; its session, which costs more than all three, is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import asyncpg
from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from common.context import TenantContext
from common.db.engine import Pool
from common.db.errors import DRIVER_ERRORS, TransactionLost
from common.db.standing import Standing
from common.db.statements import Records, Statement

Enter = Callable[[PoolProxiedConnection, TenantContext], Awaitable[Standing | None]]
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
    def standing(self) -> Standing:
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
            self._connection = await take(self._engine)
            self._standing = await self._enter(self._connection, self.context)
        return self._connection

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
        self._give_back()
        if ended != "COMMIT":
            raise TransactionLost
        if self._wrote_events:
            self._wrote_events = False
            self._tell_listeners()

    async def rollback(self) -> None:
        """Undo what was done since the last commit; a cancellation waits until the connection is clean."""
        self._wrote_events = False
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await asyncio.shield(asyncio.ensure_future(undo(connection)))

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            give_back(connection)


async def undo(connection: PoolProxiedConnection) -> None:
    """Leave nothing begun, and give the connection back; one that has died leaves the pool."""
    try:
        await _roll_back(connection.driver_connection)
    except (OSError, *DRIVER_ERRORS) as error:
        connection.invalidate(error)
    else:
        give_back(connection)


async def _roll_back(raw: Any) -> None:
    """An error that is heard only now, of what was written ahead, is of what has been undone."""
    try:
        await raw.transaction().rollback()
    except asyncpg.PostgresError:
        if raw.is_closed() or raw.is_in_transaction():
            raise


async def take(engine: Engine) -> PoolProxiedConnection:
    """A connection of the pool; those that have died there meanwhile are left behind."""
    while True:
        ready = cast(Pool, engine.pool).is_ready
        connection = engine.raw_connection() if ready else await greenlet_spawn(engine.raw_connection)
        raw: Any = connection.driver_connection
        if not raw.is_closed():
            return connection
        connection.invalidate()


def give_back(connection: PoolProxiedConnection) -> None:
    """To the pool, which has nothing to undo: the transaction has ended, and it knows of none."""
    connection.close()
