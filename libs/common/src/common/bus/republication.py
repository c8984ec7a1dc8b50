"""History that an operator has published again, for subscribers that lost it: the same ids and numbers.

The operator's command leaves a wish in the database; the active relay fulfils it between its own batches, so
that nothing is ever published by two at a time, and tells there how far it is.
"""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from common.bus import outbox
from common.context import SystemContext
from common.contracts.operations import HistoryPublishedAgain
from common.errors import Invalid

# Published after it happened: the days before are not looked at.
_FIRST = """
SELECT min(sequence) FROM tenancy.outbox_history
WHERE $1::timestamptz IS NULL OR (occurred_at >= $1 AND published_at >= $1)
"""
_LAST = "SELECT max(sequence) FROM tenancy.outbox_history"
_COUNT = "SELECT count(*) FROM tenancy.outbox_history WHERE sequence BETWEEN $1 AND $2"
_WISH = """
UPDATE tenancy.relay_state SET again_from = $1, again_next = $1, again_to = $2
WHERE again_to IS NULL RETURNING true
"""
_FIND = "SELECT again_next, again_to FROM tenancy.relay_state WHERE again_to IS NOT NULL"
_ROWS = "SELECT * FROM tenancy.outbox_history WHERE sequence BETWEEN $1 AND $2 ORDER BY sequence LIMIT $3"
_MOVE = "UPDATE tenancy.relay_state SET again_next = $1 WHERE again_to IS NOT NULL"
_END = "UPDATE tenancy.relay_state SET again_from = NULL, again_next = NULL, again_to = NULL"


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers of one producer, both included, and how many of them the history has."""

    first: int
    last: int
    events: int


async def find_span(
    connection: asyncpg.Connection, since: datetime | None, numbers: tuple[int, int] | None
) -> Span | None:
    """What the history has of these numbers, or else from the first event on that happened at `since` or
    later (None: all); None when that is nothing."""
    first, last = numbers or (await connection.fetchval(_FIRST, since), await connection.fetchval(_LAST))
    if first is None or last is None:
        return None
    events = await connection.fetchval(_COUNT, first, last)
    return Span(first, last, events) if events else None


async def wish(connection: asyncpg.Connection, context: SystemContext, service: str, span: Span) -> None:
    """Have the relay publish it again, and record who wanted it.

    Raises:
        Invalid: another wish is not fulfilled yet.
    """
    async with connection.transaction():
        if await connection.fetchval(_WISH, span.first, span.last) is None:
            raise Invalid([("/publish", "history is being published again already: try when that is done")])
        event = HistoryPublishedAgain(
            tenant_id=context.tenant_id, service=service, first=span.first, last=span.last
        )
        await outbox.tell(connection, context, event)


async def done(connection: asyncpg.Connection, span: Span) -> int:
    """How many of the span's events are published again."""
    row = await connection.fetchrow(_FIND)
    if row is None:
        return span.events
    return int(await connection.fetchval(_COUNT, span.first, row["again_next"] - 1))


async def next_rows(connection: asyncpg.Connection, most: int) -> list[asyncpg.Record] | None:
    """The next events to publish again; none when the wish is fulfilled, None when there is no wish."""
    state = await connection.fetchrow(_FIND)
    if state is None:
        return None
    return list(await connection.fetch(_ROWS, state["again_next"], state["again_to"], most))


async def note_done(connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
    """These are published; without any, nothing is left of the wish."""
    if rows:
        await connection.execute(_MOVE, rows[-1]["sequence"] + 1)
    else:
        await connection.execute(_END)
