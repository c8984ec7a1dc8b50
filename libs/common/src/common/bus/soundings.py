"""What the tables of one service say of its events, measured every few seconds: outbox and dead letters.

The role `work` does it rather than the relay: of a relay that stands still somebody else must tell.
"""

import asyncio
import logging

import asyncpg

from common.bus.lag import read_letters, read_outbox
from common.db.errors import DRIVER_ERRORS
from common.metric_names import DEAD_LETTERS, DEAD_LETTERS_WAITING, OUTBOX_AGE, OUTBOX_DEPTH, OUTBOX_PARKED
from common.metrics import Reading
from common.settings import ServiceSettings

log = logging.getLogger(__name__)

_EVERY_SECONDS = 5.0
_MOST = 100_000
_DATABASE_SECONDS = 5.0

_depth = Reading(OUTBOX_DEPTH)
_age = Reading(OUTBOX_AGE)
_parked = Reading(OUTBOX_PARKED)
_dead = Reading(DEAD_LETTERS)
_waiting = Reading(DEAD_LETTERS_WAITING)


class Soundings:
    """Of one service's database, as the relay role."""

    def __init__(self, service: str, settings: ServiceSettings) -> None:
        self._service, self._url = service, settings.relay_database_url
        self._every = min(settings.metric_interval, _EVERY_SECONDS)

    async def run(self) -> None:
        """Until cancelled; the database may come and go."""
        while True:
            try:
                await self._serve_term()
            except (OSError, TimeoutError, *DRIVER_ERRORS) as error:
                log.warning("soundings interrupted", extra={"fields": {"error": type(error).__name__}})
            await asyncio.sleep(self._every)

    async def _serve_term(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=_DATABASE_SECONDS, command_timeout=_DATABASE_SECONDS
        )
        try:
            while True:
                await self.take(connection)
                await asyncio.sleep(self._every)
        finally:
            await connection.close(timeout=2)

    async def take(self, connection: asyncpg.Connection) -> None:
        """Measure once. The service's own consumer is shown without dead letters, too."""
        outbox = await read_outbox(connection, _MOST)
        _depth.note(outbox["rows"])
        _age.note(outbox["oldest_seconds"] or 0.0)
        _parked.note(outbox["parked"])
        letters = await read_letters(connection)
        _dead.note_all({self._service: 0, **{one["consumer"]: one["dead"] for one in letters}})
        _waiting.note_all({self._service: 0, **{one["consumer"]: one["waiting"] for one in letters}})
