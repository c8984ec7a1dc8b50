"""Which replica handles which partition: PostgreSQL advisory locks on a dedicated connection.

The locks fall with the process that holds them, so a killed replica's partitions are free at once, which
Kafka's group protocol takes seconds to notice; an owner that stands still (stopped, or cut off without a
word) loses them when the database has not heard from it for a while. Replicas announce themselves with a
shared lock and share the partitions evenly.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from aiokafka import TopicPartition

_PRESENT = "SELECT pg_advisory_lock_shared($1, -1)"
# LIMIT stops the scan, so no lock beyond the wanted number is taken.
_CLAIM = "SELECT i FROM unnest($2::int[]) AS i WHERE pg_try_advisory_lock($1, i) LIMIT $3"
_REPLICAS = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid = 4294967295::oid AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_LONGEST = 60.0
"""Seconds that one statement of an owner's may take. Between its parts, an owner that stands still is not
silent for the database, but in the middle of something."""


async def connect_owner(url: str, silence: float, *, durable: bool = True) -> asyncpg.Connection:
    """A connection whose locks fall with it, at the latest `silence` seconds after its last word.

    Also when an answer is on its way that the owner does not take; after `_LONGEST` at the latest when its
    last word was half a statement. `durable=False`: its commits do not wait for the disk, and a crash of the
    server takes the last second's.
    """
    limit = f"{silence * 1000:.0f}ms"
    settings = {
        "idle_session_timeout": limit,
        "tcp_user_timeout": limit,
        "transaction_timeout": f"{_LONGEST * 1000:.0f}ms",
    }
    if not durable:
        settings["synchronous_commit"] = "off"
    return await asyncpg.connect(url, timeout=5, server_settings=settings)


@asynccontextmanager
async def heard(connection: asyncpg.Connection, silence: float) -> AsyncGenerator[None]:
    """While the block waits for something else, the database hears from us all the same."""
    beating = asyncio.create_task(_beat(connection, silence / 4))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _beat(connection: asyncpg.Connection, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        await connection.execute("SELECT")


class Ownership:
    """The partitions one replica of a consumer owns."""

    def __init__(self, consumer: str, partitions: Sequence[TopicPartition]) -> None:
        digest = hashlib.sha256(f"consumer:{consumer}".encode()).digest()
        self._class = int.from_bytes(digest[:4], "big", signed=True)
        self._partitions = list(partitions)
        self.owned: set[TopicPartition] = set()

    async def announce(self, connection: asyncpg.Connection) -> None:
        await connection.execute(_PRESENT, self._class)

    async def share(self, connection: asyncpg.Connection) -> int:
        """How many partitions each of the replicas that are there now should own."""
        replicas = max(1, await connection.fetchval(_REPLICAS, self._class % 2**32))
        return -(-len(self._partitions) // replicas)

    async def claim(self, connection: asyncpg.Connection, share: int) -> list[TopicPartition]:
        """Lock free partitions up to our share; returns the new ones."""
        wanted = share - len(self.owned)
        free = [i for i, partition in enumerate(self._partitions) if partition not in self.owned]
        if wanted <= 0 or not free:
            return []
        rows = await connection.fetch(_CLAIM, self._class, free, wanted)
        gained: list[TopicPartition] = [self._partitions[row["i"]] for row in rows]
        self.owned.update(gained)
        return gained

    def surplus(self, share: int) -> list[TopicPartition]:
        """Partitions beyond our share, to be drained and released to a newcomer."""
        return sorted(self.owned)[share:]

    async def release(self, connection: asyncpg.Connection, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            index = self._partitions.index(partition)
            await connection.execute("SELECT pg_advisory_unlock($1, $2)", self._class, index)
            self.owned.discard(partition)
