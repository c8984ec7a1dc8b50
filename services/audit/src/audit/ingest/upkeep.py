"""What ingestion does besides fetched events: judging again, noticing holes, making days, forgetting."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, timedelta

import asyncpg

from audit.ingest import store
from audit.ingest.batch import Findings, Recorder
from audit.ingest.intake import UNKNOWN_TYPE, days_of, restored, take_in
from common import clock
from common.db.errors import DRIVER_ERRORS
from common.metric_names import AUDIT_MISSING
from common.metrics import Reading

log = logging.getLogger(__name__)

Suspects = dict[str, str]
"""Missing numbers (a multirange's text) by producer."""

_PAUSE_SECONDS = 1.0
_GRACE_SECONDS = 15.0
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
_SUSPECT = f"SELECT source, missing::text FROM ({_HOLES}) AS h WHERE NOT isempty(missing)"  # noqa: S608
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
    SELECT h.source, h.missing * s.missing::int8multirange - coalesce(
        (SELECT range_agg(g.missing) FROM audit.gaps AS g WHERE g.source = h.source AND g.filled_at IS NULL),
        '{{}}'::int8multirange) AS missing
    FROM holes AS h JOIN unnest($1::text[], $2::text[]) AS s (source, missing) USING (source)
)
INSERT INTO audit.gaps (source, missing) SELECT source, missing FROM unknown WHERE NOT isempty(missing)
"""  # noqa: S608
_WAITING = """
SELECT tenant_id, digest, topic, partition, position, key, value, headers FROM audit.quarantine
WHERE reason = $1 AND admitted_at IS NULL ORDER BY quarantined_at LIMIT 500 FOR UPDATE SKIP LOCKED
"""
_ADMIT = """
UPDATE audit.quarantine SET admitted_at = clock_timestamp()
WHERE (tenant_id, digest) IN (SELECT * FROM unnest($1::uuid[], $2::bytea[]))
"""
_MISSING = """
SELECT coalesce(sum(upper(hole) - lower(hole)), 0)::bigint
FROM audit.gaps AS g, unnest(g.missing) AS hole WHERE g.filled_at IS NULL AND g.closed_at IS NULL
"""

_missing = Reading(AUDIT_MISSING)


class Upkeep:
    """Runs beside the consumer; every replica may."""

    def __init__(
        self, database_url: str, recorder: Recorder, retention: timedelta, wake_relay: Callable[[], None]
    ) -> None:
        self._database_url = database_url
        self._recorder = recorder
        self._retention = retention
        self._wake_relay = wake_relay

    async def run(self) -> None:
        """Work until cancelled; the database may come and go."""
        while True:
            try:
                await self._serve_term()
            except (OSError, TimeoutError, *DRIVER_ERRORS) as error:
                log.warning("upkeep interrupted", extra={"fields": {"error": type(error).__name__}})
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _serve_term(self) -> None:
        connection = await asyncpg.connect(self._database_url, timeout=5)
        try:
            loop = asyncio.get_running_loop()
            tidying = noticing = loop.time()
            suspects: Suspects = {}
            while True:
                if loop.time() >= tidying:
                    await self.tidy(connection)
                    await self.readmit(connection)
                    tidying = loop.time() + _HOURLY_SECONDS
                if loop.time() >= noticing:
                    suspects = await self.notice_gaps(connection, suspects)
                    noticing = loop.time() + _GRACE_SECONDS
                await self.rejudge_overlooked(connection)
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
            findings = await self._recorder.rejudge(connection, resources) if resources else Findings()
        findings.tell(self._wake_relay)

    async def notice_gaps(self, connection: asyncpg.Connection, suspects: Suspects) -> Suspects:
        """Note numbers that are missing below ones that arrived, and close what has arrived since.

        Topics overtake each other, so only what was missing at the time before (`suspects`) is noted. Returns
        what is missing now.
        """
        async with connection.transaction():
            await connection.execute("LOCK TABLE audit.gaps IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute(_SHRINK_GAPS)
            await connection.execute(_NOTE_GAPS, list(suspects), list(suspects.values()))
            _missing.note(await connection.fetchval(_MISSING))
            return {row["source"]: row["missing"] for row in await connection.fetch(_SUSPECT)}

    async def readmit(self, connection: asyncpg.Connection) -> None:
        """Take events into the log whose type an older version of us did not know."""
        async with connection.transaction():
            waiting = await connection.fetch(_WAITING, UNKNOWN_TYPE)
            intakes = [(row, take_in(restored(row), self._retention)) for row in waiting]
            known = [(row, intake) for row, intake in intakes if intake.reason is None]
            await store.ensure_days(connection, days_of([intake for _, intake in known]))
            work = [(intake.envelope, intake.rows) for _, intake in known if intake.envelope]
            findings = await self._recorder.record(connection, work)
            keys = [(row["tenant_id"], row["digest"]) for row, _ in known]
            await connection.execute(_ADMIT, [key[0] for key in keys], [key[1] for key in keys])
        for _, intake in intakes:
            intake.finish()
        findings.tell(self._wake_relay)
