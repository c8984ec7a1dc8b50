"""The only way to a tenant's data: a session that proves its context at every transaction's begin."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, PoolProxiedConnection, event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession  # noqa: TID251 - the one place
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, with_loader_criteria

from common.context import SystemContext, TenantContext, UserContext
from common.db.base import TenantRow
from common.db.connection import TOLD
from common.db.engine import make_engine
from common.db.errors import is_unavailable
from common.db.hot import HotSession
from common.db.proofs import Prover
from common.db.reading import ReadingSession
from common.db.standing import Standing, Standings, standing_of
from common.db.statements import First, Records, Statement

_ENTER = "SELECT tenancy.enter($1, $2, $3, $4, $5)"
_ENTRY = Statement(_ENTER, ("tenant_id", "user_id", "session_id", "issued_at", "proof"))
_STOPPED = "SELECT consumer FROM tenancy.stopped_consumers ORDER BY consumer"
_ENTER_SYSTEM = "SELECT tenancy.enter_system($1, $2, $3)"
_SYSTEM_ENTRY = Statement(_ENTER_SYSTEM, ("tenant_id", "purpose", "proof"))
_TELL_ENTRY = _ENTER_SYSTEM + TOLD
_ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class _EnteringSession(Session):
    """Sync half of `TenantSession`: enters the tenant whenever a transaction begins."""

    context: TenantContext
    database: "Database"
    standing: Standing | None = None
    of_one_moment: bool = False
    wrote_events: bool = False


class TenantSession(AsyncSession):
    """A session inside one tenant. Made by `Database.tenant` only.

    After `commit` or `rollback` the next statement begins a new transaction and enters again, so no
    statement ever runs on a connection that is still, or already, somebody else's.
    """

    sync_session_class = _EnteringSession
    sync_session: _EnteringSession  # type: ignore[reportIncompatibleVariableOverride]

    @property
    def context(self) -> TenantContext:
        return self.sync_session.context

    @property
    def tenant_id(self) -> UUID:
        return self.sync_session.context.tenant_id

    @property
    def standing(self) -> Standing:
        """The user's standing.

        Raises:
            LookupError: a system context, which has none.
        """
        if self.sync_session.standing is None:
            raise LookupError("no user acts in this session")
        return self.sync_session.standing

    def continue_as(self, context: SystemContext) -> None:
        """Go on in the same transaction for another cause.

        Raises:
            ValueError: that is another tenant's, or the transaction was not entered by the platform.
        """
        entered = self.context
        if not isinstance(entered, SystemContext) or entered.tenant_id != context.tenant_id:
            raise ValueError("a session stays with whom it entered for")
        self.sync_session.context = context

    def note_events(self) -> None:
        """Have the relay woken after this transaction's commit."""
        self.sync_session.wrote_events = True

    async def fetch(self, statement: Statement, **values: Any) -> Records:
        """What a compiled statement finds for the session's tenant, in the session's transaction."""
        await self.flush()
        connection = await (await self.connection()).get_raw_connection()
        return await statement.run(connection, self.tenant_id, values)


AnySession = TenantSession | HotSession | ReadingSession
"""What compiled statements run on."""


class Database:
    """One service's database, seen as its app role."""

    def __init__(
        self,
        url: str,
        tenancy_key: str,
        *,
        pool_size: int = 10,
        pool_timeout: float = 5.0,
        pooler_mode: str = "session",
    ) -> None:
        self._prover = Prover(tenancy_key)
        self._standings = Standings()
        self._pooled = pooler_mode == "transaction"
        self._engine = make_engine(url, pool_size, pool_timeout, statement_cache=not self._pooled)
        self._listeners: list[asyncio.Event] = []
        self.events_written = self.listen()
        """The relay's."""

    def listen(self) -> asyncio.Event:
        """An event that is set after each commit that wrote an outbox row; whoever asked for it clears it."""
        self._listeners.append(asyncio.Event())
        return self._listeners[-1]

    def tell_listeners(self) -> None:
        for written in self._listeners:
            written.set()

    @asynccontextmanager
    async def tenant(
        self, context: TenantContext, *, of_one_moment: bool = False
    ) -> AsyncGenerator[TenantSession]:
        """A session inside the context's tenant, rolled back unless the caller commits. `of_one_moment`: it
        reads everything as it was when the transaction began, however long that takes, and cannot write.

        Raises:
            EntryRefused: the caller's membership, session or tenant has ended.
            MemberUnknown: the projection does not know the member (yet).
        """
        async with TenantSession(self._engine_of(context.tenant_id), expire_on_commit=False) as session:
            session.sync_session.context = context
            session.sync_session.database = self
            session.sync_session.of_one_moment = of_one_moment
            await self._begin(session)
            yield session

    @asynccontextmanager
    async def hot(self, context: TenantContext) -> AsyncGenerator[HotSession]:
        """As `tenant`, for compiled statements alone."""
        engine = self._engine_of(context.tenant_id).sync_engine
        session = HotSession(engine, self._enter_hot, context, self.tell_listeners)
        try:
            await self._begin(session)
            yield session
        finally:
            await session.rollback()

    def read(self, context: UserContext) -> ReadingSession | None:
        """As `hot`, to read only, for a user whom the database has let in before; None for others, and where
        a server is not known before a transaction begins."""
        presumed = self._standings.find(context)
        if presumed is None or self._pooled:
            return None
        engine = self._engine_of(context.tenant_id).sync_engine
        return ReadingSession(engine, self._prove, context, presumed)

    async def _begin(self, session: TenantSession | HotSession) -> None:
        """Enter eagerly; once more when the pooled connection had died meanwhile (nothing is done yet)."""
        try:
            await self._connect(session)
        except Exception as error:
            if not is_unavailable(error) or isinstance(error, TimeoutError | PoolTimeout):
                raise
            await session.rollback()
            await self._connect(session)

    async def _connect(self, session: TenantSession | HotSession) -> None:
        """Begin. An event loop that gives up connecting to a dying server says so by a cancellation that
        nobody asked for; it must not end the request as if it had been told to stop."""
        try:
            await session.connection()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise ConnectionError("the driver gave up connecting") from error

    def _engine_of(self, tenant_id: UUID) -> AsyncEngine:
        """The database that holds the tenant; the one place that will choose among several."""
        return self._engine

    def enter(self, session: _EnteringSession, connection: Connection) -> None:
        """Prove the session's context to the database on this connection's fresh transaction."""
        context = session.context
        if session.of_one_moment:
            connection.exec_driver_sql(_ONE_MOMENT)
        pid = self._backend_pid(connection)
        if isinstance(context, SystemContext):
            proof = self._prover.system(context.tenant_id, context.purpose, pid)
            entry = _TELL_ENTRY if self._is_told(context) else _ENTER_SYSTEM
            connection.exec_driver_sql(entry, (context.tenant_id, context.purpose, proof))
            return
        session.standing = self._enter_user(connection, context, pid)

    def _is_told(self, context: SystemContext) -> bool:
        """Whether the entry leaves with the statement after it. Who handles an event tries again whatever
        that statement hears. Behind a pooler the transaction has heard an answer before."""
        return context.purpose == "event" and not self._pooled

    def _enter_user(self, connection: Connection, context: UserContext, pid: int) -> Standing:
        values = (context.tenant_id, *self._entry(context, pid).values())
        return standing_of(connection.exec_driver_sql(_ENTER, values).scalar_one())

    async def _enter_hot(self, connection: PoolProxiedConnection, context: TenantContext) -> Standing | None:
        raw = cast(Any, connection.driver_connection)
        raw.write_begin()
        pid = await raw.fetchval("SELECT pg_backend_pid()") if self._pooled else raw.get_server_pid()
        if isinstance(context, SystemContext):
            proof = self._prover.system(context.tenant_id, context.purpose, pid)
            values: dict[str, Any] = {"purpose": context.purpose, "proof": proof}
            await _SYSTEM_ENTRY.run(connection, context.tenant_id, values)
            return None
        (entered,) = await _ENTRY.run(connection, context.tenant_id, self._entry(context, pid))
        standing = standing_of(entered[0])
        self._standings.note(context, standing)
        return standing

    def _entry(self, context: UserContext, pid: int) -> dict[str, Any]:
        """The values of `_ENTRY`."""
        user, session, issued = context.user_id, context.session_id, context.issued_at
        proof = self._prover.user(context.tenant_id, user, session, issued, pid)
        return {"user_id": user, "session_id": session, "issued_at": issued, "proof": proof}

    def _prove(self, connection: PoolProxiedConnection, context: UserContext) -> First:
        raw = cast(Any, connection.driver_connection)
        return First(_ENTRY, (context.tenant_id, *self._entry(context, raw.get_server_pid()).values()))

    def _backend_pid(self, connection: Connection) -> int:
        if self._pooled:  # the server behind a pooler is known only once the transaction has begun
            return cast(int, connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        raw = cast(Any, connection.connection.dbapi_connection)
        return cast(int, raw.driver_connection.get_server_pid())

    async def list_stopped_consumers(self) -> list[str]:
        """Consumers that stopped because too many events died; needs no tenant."""
        async with self._engine.connect() as connection:
            rows = await connection.exec_driver_sql(_STOPPED)
            return [row.consumer for row in rows]

    async def close(self) -> None:
        await self._engine.dispose()


@event.listens_for(_EnteringSession, "after_begin")
def enter_tenant(session: _EnteringSession, transaction: SessionTransaction, connection: Connection) -> None:
    """Enter the tenant on every transaction begin; savepoints stay inside the one already entered."""
    if not transaction.nested:
        session.database.enter(session, connection)


@event.listens_for(_EnteringSession, "before_flush")
def name_tenant(session: _EnteringSession, _context: object, _instances: object) -> None:
    """Write the tenant into new rows. The database would fill it in, but a router before several databases
    reads it from the statement."""
    for row in session.new:
        if isinstance(row, TenantRow):
            row.tenant_id = row.tenant_id or session.context.tenant_id


@event.listens_for(_EnteringSession, "after_commit")
def wake_listeners(session: _EnteringSession) -> None:
    if session.wrote_events:
        session.wrote_events = False
        session.database.tell_listeners()


@event.listens_for(_EnteringSession, "after_rollback")
def forget_events(session: _EnteringSession) -> None:
    session.wrote_events = False


@event.listens_for(_EnteringSession, "do_orm_execute")
def narrow_to_tenant(state: ORMExecuteState) -> None:
    """Add `tenant_id = …` to every statement, so that the planner uses the tenant's index."""
    tenant_id = cast(_EnteringSession, state.session).context.tenant_id
    if state.is_select or state.is_update or state.is_delete:
        state.statement = state.statement.options(
            with_loader_criteria(TenantRow, lambda row: row.tenant_id == tenant_id, include_aliases=True)
        )
