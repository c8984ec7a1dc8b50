"""A user's session that only reads, with one message for each statement: see docs/adr/0036-one-message.md.

Entry and statement leave together, and PostgreSQL makes them one transaction, which ends with them. Who the
caller is in the tenant has not been heard then. What the session goes by is what the last entry said of them,
and what was found counts only if this entry says the same.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Engine, PoolProxiedConnection

from common.context import UserContext
from common.db.errors import is_unavailable
from common.db.hot import give_back, take, undo
from common.db.standing import Standing, read_standing
from common.db.statements import First, Records, Statement

Prove = Callable[[PoolProxiedConnection, UserContext], First]
"""The entry, with a proof for this connection."""

_NOTHING = Statement("SELECT WHERE $1::uuid IS NULL", ("tenant_id",), reads=True)


class NotAsPresumed(Exception):
    """The caller does not stand in the tenant as before, or could not be heard of: ask in a `HotSession`."""


class ReadingSession:
    """One user's session inside their tenant, for statements that read. Made by `Database.read` only.

    Before anything that comes of `standing` is shown to anybody, a statement or `confirm` has to have run.
    """

    def __init__(self, engine: Engine, prove: Prove, context: UserContext, presumed: Standing) -> None:
        self._engine, self._prove = engine, prove
        self.context, self.standing = context, presumed
        self._is_confirmed = False

    @property
    def tenant_id(self) -> UUID:
        return self.context.tenant_id

    async def fetch(self, statement: Statement, **values: Any) -> Records:
        """What the statement finds for the session's tenant.

        Raises:
            NotAsPresumed: the caller does not stand as presumed.
            TypeError: the statement may change something.
        """
        if not statement.reads:
            raise TypeError(f"not for a session that reads: {statement.text}")
        connection = await take(self._engine)
        raw: Any = connection.driver_connection
        try:
            first = self._prove(connection, self.context)
            records = await statement.run(connection, self.tenant_id, values, first)
        except BaseException as error:
            await asyncio.shield(asyncio.ensure_future(_let_go(connection, error)))
            if is_unavailable(error) or isinstance(error, asyncpg.InvalidCachedStatementError):
                raise NotAsPresumed from error
            raise
        heard = raw.heard_first()
        give_back(connection)
        if heard is None or read_standing(heard) != self.standing:
            raise NotAsPresumed
        self._is_confirmed = True
        return records

    async def confirm(self) -> None:
        """Hear whether the caller stands as presumed, unless a statement has said so.

        Raises:
            NotAsPresumed: they do not.
        """
        if not self._is_confirmed:
            await self.fetch(_NOTHING)

    def note_events(self) -> None:
        """Raises:
        TypeError: nothing is told of in it.
        """
        raise TypeError("not in a session that reads")

    async def rollback(self) -> None:
        """Nothing: every statement has its own transaction, which has ended."""


async def _let_go(connection: PoolProxiedConnection, error: BaseException) -> None:
    """Where the server has refused something, the transaction has ended; else it may not have begun to."""
    raw: Any = connection.driver_connection
    if isinstance(error, asyncpg.PostgresError) and raw.has_heard_first() and not raw.is_closed():
        raw.heard_first()
        give_back(connection)
    else:
        await undo(connection)
        raw.heard_first()
