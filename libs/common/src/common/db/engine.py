"""The one place where engines are made."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool, Engine, PoolProxiedConnection, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine  # noqa: TID251 - the one place
from sqlalchemy.pool import ConnectionPoolEntry

from common import metrics
from common.db.connection import Connection
from common.db.errors import is_poisoned, is_privilege_missing, is_wall_violation
from common.metric_names import (
    DB_CONNECTION_TIMEOUTS,
    DB_CONNECTION_WAIT,
    DB_CONNECTIONS,
    DB_CONNECTIONS_MAX,
    ENTRY_DENIALS,
)
from common.metrics import Labels
from common.telemetry import trace_statements

_POOL = "db.client.connection.pool.name"
_STATE = "db.client.connection.state"
_REASONS: dict[str, Labels] = {
    reason: {"app.reason": reason} for reason in ("refused", "unknown", "wall", "privilege")
}

RECYCLE_SECONDS = 600
"""How old a connection gets: so long may last what SQL of one tenant has set on it without any error."""

PREPARED = "prepared"
"""Where a pooled connection's `Prepared` stands in its `info`."""


@dataclass(slots=True)
class Prepared:
    """What `common.db.statements` keeps with a connection. None: servers change between transactions, so
    nothing can be kept. `poisoned`: the pool drops the connection when it comes back. `since`: when it was
    opened, in the monotonic clock's seconds."""

    database: str
    statements: dict[Any, Any] | None
    poisoned: bool = False
    since: float = field(default_factory=time.monotonic)


_wait = metrics.histogram(DB_CONNECTION_WAIT)
_timeouts = metrics.counter(DB_CONNECTION_TIMEOUTS)
_denials = metrics.counter(ENTRY_DENIALS, *_REASONS.values())


class Pool(AsyncAdaptedQueuePool):
    """Measures how long those wait who find no idle connection. `name`: the database's."""

    name = ""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle: set[ConnectionPoolEntry] = set()

    @property
    def is_ready(self) -> bool:
        """Whether taking a connection is no waiting: any that is idle can be used."""
        return self.checkedin() > 0 and not any(map(_is_hollow, self._idle))

    def _do_get(self) -> ConnectionPoolEntry:
        entry = super()._do_get()
        self._idle.discard(entry)
        return entry

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._idle.add(record)
        super()._do_return_conn(record)

    def connect(self) -> PoolProxiedConnection:
        if self.checkedin():
            return super().connect()
        began = time.perf_counter()
        try:
            return super().connect()
        except PoolTimeout:
            _timeouts.add(1, {_POOL: self.name})
            raise
        finally:
            _wait.record(time.perf_counter() - began, {_POOL: self.name})


def _is_hollow(entry: Any) -> bool:
    """Whether its connection is not to be used any more: taking it waits for another."""
    hollow: bool = entry._is_hard_or_soft_invalidated()
    return hollow


def _connections(pool: Pool) -> Iterator[tuple[float, Labels]]:
    yield pool.checkedout(), {_POOL: pool.name, _STATE: "used"}
    yield pool.checkedin(), {_POOL: pool.name, _STATE: "idle"}


def _most(pool: Pool) -> Iterator[tuple[float, Labels]]:
    yield pool.size(), {_POOL: pool.name}


_GAUGES = (metrics.Gauge(DB_CONNECTIONS, _connections), metrics.Gauge(DB_CONNECTIONS_MAX, _most))


def note_denial(reason: str) -> None:
    """Count that the database did not let somebody in, or something through."""
    _denials.add(1, _REASONS[reason])


def note_denial_of(error: BaseException | None) -> None:
    """Count the error if it is one of the database's refusals."""
    if error is None:
        return
    if is_wall_violation(error):
        note_denial("wall")
    elif is_privilege_missing(error):
        note_denial("privilege")


def note_failure(info: dict[Any, Any], error: BaseException | None) -> None:
    """Count a refusal, and have the pool drop a connection that would fail everybody; `info`: that one's."""
    note_denial_of(error)
    kept: Prepared | None = info.get(PREPARED)
    if kept is not None and error is not None and is_poisoned(error):
        kept.poisoned = True


def make_engine(
    url: str, pool_size: int, pool_timeout: float, *, statement_cache: bool = True
) -> AsyncEngine:
    """An engine for a libpq URL. `pool_timeout` in seconds.

    `statement_cache=False` is for transaction poolers, whose servers change between transactions.
    """
    cache = {} if statement_cache else {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    # Prepared statements outlive the transaction on a pooled connection. Whoever could name one could
    # replace it under the next tenant, so their names are secrets (and the catalog view is closed).
    names = {"prepared_statement_name_func": lambda: f"s{secrets.token_hex(16)}"}
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=Pool,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=pool_timeout,
        connect_args={
            "timeout": 5,
            "connection_class": Connection,
            "server_settings": {"application_name": "penguinmails"},
            **names,
            **cache,
        },
    )
    trace_statements(engine.sync_engine)
    _measure(engine.sync_engine)
    _keep_statements(engine.sync_engine, statement_cache)
    return engine


def _keep_statements(engine: Engine, possible: bool) -> None:
    database = engine.url.database or ""

    @event.listens_for(engine, "connect")
    def prepare(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info[PREPARED] = Prepared(database, {} if possible else None)

    @event.listens_for(engine, "checkin")
    def drop(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        kept: Prepared | None = record.info.get(PREPARED)
        if kept is not None and kept.poisoned:
            record.invalidate()
        elif kept is not None and time.monotonic() - kept.since > RECYCLE_SECONDS:
            record.invalidate(
                soft=True
            )  # not by the pool's own `recycle`, which `is_ready` cannot see coming

    _ = prepare, drop


def _measure(engine: Engine) -> None:
    pool = engine.pool
    if isinstance(pool, Pool):
        pool.name = engine.url.database or ""
        _timeouts.add(0, {_POOL: pool.name})
        for gauge in _GAUGES:
            gauge.watch(pool)

    @event.listens_for(engine, "handle_error")
    def count(context: ExceptionContext) -> None:
        connection = context.connection
        if connection is None or connection.closed or connection.invalidated:
            note_denial_of(context.original_exception)
        else:
            note_failure(connection.info, context.original_exception)

    _ = count
