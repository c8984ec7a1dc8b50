"""`python -m audit gaps …`: numbers that the log lacks, and which of them will never come. Prints JSON."""

from typing import Annotated, Any
from uuid import UUID

import asyncpg
import typer

from audit.settings import AuditSettings
from common import clock
from common.bus import outbox
from common.contracts.operations import GapClosed
from common.errors import Invalid
from common.ids import PLATFORM_TENANT
from common.operators import By, acting, at_the_platform, connected, from_environment, run, say, tell_read

_OPEN = """
SELECT gap_id, source, missing::text, noticed_at, (
    SELECT array_agg(lower(hole) || '-' || upper(hole) - 1 ORDER BY hole) FROM unnest(missing) AS hole
) AS numbers
FROM audit.gaps WHERE filled_at IS NULL AND closed_at IS NULL AND ($1::uuid IS NULL OR gap_id = $1)
ORDER BY noticed_at
"""
_CLOSE = """
UPDATE audit.gaps SET closed_at = clock_timestamp(), closed_because = $2
WHERE gap_id = $1 AND filled_at IS NULL AND closed_at IS NULL RETURNING source, missing::text
"""

commands = typer.Typer(no_args_is_help=True, help="Numbers that the log lacks; prints JSON.")


@commands.command("list")
def list_gaps(by: By) -> None:
    """What is missing, oldest first; `numbers` as `events replay --publish --numbers` takes them."""
    run(_list(by))


@commands.command()
def close(
    gap: UUID,
    by: By,
    reason: Annotated[str, typer.Option()],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it.")] = False,
) -> None:
    """Count these no more, because they will not come; they stay on record, and are taken if they do."""
    run(_close(gap, reason, by, dry_run))


async def _list(by: str) -> None:
    settings = from_environment(AuditSettings)
    async with at_the_platform(settings, "audit", by) as session:
        await tell_read(session, "events gaps list")
        await session.commit()
    async with connected(settings.ingest_database_url) as books:
        for row in await books.fetch(_OPEN, None):
            say(_told(row))


async def _close(gap_id: UUID, reason: str, by: str, dry_run: bool) -> None:
    url = from_environment(AuditSettings).ingest_database_url
    async with connected(url) as books, books.transaction():
        row = await books.fetchrow(_OPEN, gap_id)
        if row is None:
            raise Invalid([("/gap", "there is no such open gap")])
        if not dry_run:
            closed = await books.fetchrow(_CLOSE, gap_id, reason)
            if closed is None:
                raise Invalid([("/gap", "it was closed just now")])
            event = GapClosed(tenant_id=PLATFORM_TENANT, **dict(closed), reason=reason)
            await outbox.tell(books, acting(PLATFORM_TENANT, "audit", by), event)
        say({**_told(row), "result": "closed", "dry_run": dry_run})


def _told(row: asyncpg.Record) -> dict[str, Any]:
    return {**dict(row), "gap_id": str(row["gap_id"]), "noticed_at": clock.rfc3339(row["noticed_at"])}
