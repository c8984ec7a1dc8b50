"""The one place where engines are made."""

import secrets

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine  # noqa: TID251 - the one place

from common.db.connection import Connection
from common.telemetry import trace_statements


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
    return engine
