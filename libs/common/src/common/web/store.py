"""The Valkey or Redis server in which all replicas count together (`RATE_LIMIT_URL`).

Nothing depends on it: while it is away, or silent, each replica goes by what it sees itself.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable
from typing import TypeVar

from valkey.asyncio import BlockingConnectionPool, ConnectionPool, Valkey
from valkey.exceptions import ValkeyError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_SECONDS = 0.5
"""How long it may take before it counts as away."""
_AWAY_SECONDS = 5.0
"""How long one that was away is left alone."""
_CONNECTIONS = 16

# The library's own; the connection's; uvloop's, when the question is written to one that has just closed; and
# what comes of an answer that is none to the question.
_AWAY = (ValkeyError, OSError, TimeoutError, RuntimeError, ValueError, TypeError, LookupError)


class StoreAway(Exception):
    """It did not answer, or not in time."""


class Store:
    """One server; an empty `url`: there is none."""

    def __init__(self, url: str = "") -> None:
        self.pool = _pool(url) if url else None
        self.client = Valkey(connection_pool=self.pool) if self.pool is not None else None
        self._away_until = 0.0

    @property
    def is_there(self) -> bool:
        """Whether asking it may help."""
        return self.pool is not None and time.monotonic() >= self._away_until

    async def ask(self, question: Awaitable[Answer]) -> Answer:
        """The answer to a question put over a connection of the pool.

        Raises:
            StoreAway: there is none; it is left alone for a while.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                return await question
        except _AWAY as error:
            self._note_away(error)
            raise StoreAway from error

    async def close(self) -> None:
        """Let go of the connections."""
        if self.pool is not None:
            await self.pool.disconnect()

    def _note_away(self, error: Exception) -> None:
        if self.is_there:
            fields = {"error": type(error).__name__, "seconds": _AWAY_SECONDS}
            log.warning("rate limit store away, counting here", extra={"fields": fields})
        self._away_until = time.monotonic() + _AWAY_SECONDS


def _pool(url: str) -> ConnectionPool:
    """Connections to the store; the two names stand for one protocol.

    The library's own patience is as short as ours: where it loses a cancellation (`asyncio.wait_for` before
    Python 3.12 does, when what it waits for ends in the same moment), a request would wait for it.
    """
    return BlockingConnectionPool.from_url(
        re.sub(r"^redis", "valkey", url),
        max_connections=_CONNECTIONS,
        timeout=_SECONDS,
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
    )
