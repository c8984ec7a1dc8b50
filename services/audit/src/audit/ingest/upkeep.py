"""What ingestion does besides events: judging again, noticing holes, making days, forgetting."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, timedelta

import asyncpg

from audit.ingest import store
from audit.ingest.batch import Recorder
from common import clock

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_HOURLY_SECONDS = 3600.0
_KEEP_OPEN = timedelta(days=7)
_DAYS_AHEAD = 2

# A birth and a miss that two consumers commit at the same moment do not see each other; this does.
_OVERLOOKED = """
SELECT DISTINCT a.resource FROM audit.open_accesses AS a JOIN audit.ownership AS o USING (resource)
WHERE a.noted_at > clock_timestamp() - interval '10 minutes' LIMIT 500
"""
_FORGET = "DELETE FROM audit.open_accesses WHERE noted_at < clock_timestamp() - $1::interval"
_HOLES = """
SELECT source, int8multirange(int8range(1, upper(seen))) - seen AS missing
FROM audit.producers WHERE NOT isempty(seen)
"""
_SHRINK_GAPS = f"""
WITH holes AS ({_HOLES})
UPDATE audit.gaps AS g SET
    missing = g.missing * h.missing,
    filled_at = CASE WHEN isempty(g.missing * h.missing) THEN clock_timestamp() END
FROM holes AS h
WHERE h.source = g.source AND g.filled_at IS NULL AND g.missing * h.missing <> g.missing
"""  # noqa: S608 - no input in it
_NOTE_GAPS = f"""
WITH holes AS ({_HOLES}), unknown AS (
    SELECT h.source, h.missing - coalesce(
        (SELECT range_agg(g.missing) FROM audit.gaps AS g WHERE g.source = h.source AND g.filled_at IS NULL),
        '{{}}'::int8multirange) AS missing
    FROM holes AS h
)
INSERT INTO audit.gaps (source, missing) SELECT source, missing FROM unknown WHERE NOT isempty(missing)
"""  # noqa: S608


class Upkeep:
    """Runs beside the consumer; every replica may."""

    def __init__(self, database_url: str, recorder: Recorder, wake_relay: Callable[[], None]) -> None:
        self._database_url = database_url
        self._recorder = recorder
        self._wake_relay = wake_relay

    async def run(self) -> None:
        """Work until cancelled; the database may come and go."""
        while True:
            try:
                await self._serve_term()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("upkeep interrupted", extra={"fields": {"error": type(error).__name__}})
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _serve_term(self) -> None:
        connection = await asyncpg.connect(self._database_url, timeout=5)
        try:
            loop = asyncio.get_running_loop()
            due = loop.time()
            while True:
                if loop.time() >= due:
                    await self.tidy(connection)
                    due = loop.time() + _HOURLY_SECONDS
                await self.rejudge_overlooked(connection)
                await self.notice_gaps(connection)
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await connection.close(timeout=2)

    async def tidy(self, connection: asyncpg.Connection) -> None:
        """Make the next days, and forget accesses nobody will ever own the target of."""
        today = clock.now().astimezone(UTC).date()
        await store.ensure_days(connection, [today + timedelta(days=i) for i in range(_DAYS_AHEAD + 1)])
        await connection.execute(_FORGET, _KEEP_OPEN)

    async def rejudge_overlooked(self, connection: asyncpg.Connection) -> None:
        """Judge accesses whose owner became known in a transaction that could not see them."""
        async with connection.transaction():
            resources = [row["resource"] for row in await connection.fetch(_OVERLOOKED)]
            spoke = bool(resources) and await self._recorder.rejudge(connection, resources)
        if spoke:
            self._wake_relay()

    async def notice_gaps(self, connection: asyncpg.Connection) -> None:
        """Note numbers that are missing below ones that arrived, and close what has arrived since."""
        async with connection.transaction():
            await connection.execute("LOCK TABLE audit.gaps IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute(_SHRINK_GAPS)
            await connection.execute(_NOTE_GAPS)
