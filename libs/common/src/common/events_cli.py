"""`python -m SERVICE events …`: what operators ask of one service's events, and how they mend them.

Prints JSON, one document a line; `penguinmails events` makes tables of it. Nothing here needs the service to
be stopped.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import typer

from common import clock
from common.bus import brake, lag, outbox, republication
from common.bus.handling import Handling
from common.bus.projections import PROJECTIONS
from common.bus.redrive import Outcome, Redrive
from common.bus.replay import Replay
from common.bus.snapshot import describe_all, list_tenants
from common.contracts.audit import Target
from common.contracts.envelope import Topic
from common.contracts.operations import LogReplayed, StateTold
from common.db import dead_letters
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.operators import (
    By,
    Tenant,
    acting,
    at_the_platform,
    from_environment,
    of_one_tenant,
    opened,
    read_id,
    relay_connection,
    run,
    say,
    tell_read,
)
from common.parked_cli import parked_commands
from common.service import Service
from common.settings import ServiceSettings

_LIST = """
SELECT tenant_id, consumer, event_id, topic, type, subject, reason, attempts, died_at, holds, waiting
FROM tenancy.dead_letters WHERE $1::uuid IS NULL OR event_id = $1 ORDER BY place
"""

_NUMBERS = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_LOOK_SECONDS = 0.5
IfThere = Annotated[
    bool, typer.Option("--if-there", help="Say nothing, with status 0, when this service has none.")
]
_TIMES = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d"]


def events_commands(service: Service) -> typer.Typer:
    """The sub-commands of one service."""
    app = typer.Typer(no_args_is_help=True, help="Lag, dead letters, replay and snapshot; prints JSON.")
    desk = _Desk(service)
    app.add_typer(_letter_commands(desk), name="dlq")
    app.add_typer(parked_commands(service), name="parked")

    @app.command("lag")
    def show_lag() -> None:
        """How far behind outbox and consumers are."""
        run(desk.lag())

    @app.command("replay")
    def replay(
        by: By,
        consumer: Annotated[str, typer.Option()] = service.name,
        publish: Annotated[bool, typer.Option("--publish", help="Have history published again.")] = False,
        since: Annotated[datetime | None, typer.Option("--from", formats=_TIMES, help="UTC.")] = None,
        everything: Annotated[bool, typer.Option("--all", help="From the first record.")] = False,
        numbers: Annotated[str | None, typer.Option(help="With --publish: `ce_sequence`, as 17-20.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    ) -> None:
        """Read the log again: what was handled is projected again, the rest is handled. Or publish again."""
        if consumer != service.name:
            raise typer.BadParameter(f"only the consumer {service.name} can replay")
        if [since is not None, everything, numbers is not None].count(True) != 1:
            raise typer.BadParameter("say --from TIME, --all, or with --publish --numbers FIRST-LAST")
        if numbers and not publish:
            raise typer.BadParameter("--numbers goes with --publish")
        begin = since.replace(tzinfo=UTC) if since else None
        if publish:
            run(desk.publish_again(begin, _read_numbers(numbers), by, dry_run))
        else:
            run(desk.replay(begin, by, dry_run))

    @app.command("snapshot")
    def snapshot(
        by: By,
        tenant: Annotated[str | None, typer.Option(help="One tenant; all when left out.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    ) -> None:
        """Tell the present state again, for projections older than the history."""
        run(desk.snapshot(read_id(Kind.TENANT, tenant) if tenant else None, by, dry_run))

    _ = (show_lag, replay, snapshot)
    return app


def _letter_commands(desk: "_Desk") -> typer.Typer:
    letters = typer.Typer(no_args_is_help=True, help="Events that could not be handled.")

    @letters.command("list")
    def list_letters(by: By) -> None:
        """All dead letters and what waits behind them, oldest first."""
        run(desk.list_letters(by))

    @letters.command("show")
    def show_letter(event: str, by: By, tenant: Tenant = None, if_there: IfThere = False) -> None:
        """One dead letter with its envelope and payload."""
        run(desk.show(read_id(Kind.EVENT, event), tenant, by, if_there=if_there))

    @letters.command("retry")
    def retry(
        by: By,
        event: Annotated[str | None, typer.Argument()] = None,
        everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
        tenant: Tenant = None,
        if_there: IfThere = False,
    ) -> None:
        """Handle a dead letter again, then what waits behind it."""
        if (event is None) != everything:
            raise typer.BadParameter("name an event, or say --all")
        run(desk.retry(read_id(Kind.EVENT, event) if event else None, tenant, by, if_there=if_there))

    @letters.command("drop")
    def drop(
        event: str,
        by: By,
        reason: Annotated[str, typer.Option()],
        tenant: Tenant = None,
        if_there: IfThere = False,
    ) -> None:
        """Give a dead letter up; what waits behind it goes on."""
        run(desk.drop(read_id(Kind.EVENT, event), tenant, reason, by, if_there=if_there))

    _ = (list_letters, show_letter, retry, drop)
    return letters


class _Desk:
    """One operator's session with a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _settings(self) -> ServiceSettings:
        return from_environment(self._service.settings)

    async def lag(self) -> None:
        say(await lag.measure(self._service.name, self._settings()))

    async def list_letters(self, by: str) -> None:
        async with at_the_platform(self._settings(), self._service.name, by) as session:
            rows = await self._find(None)
            await tell_read(session, "events dlq list")
            await session.commit()
        for row in rows:
            say(_letter(row))

    async def show(self, event_id: UUID, tenant: str | None, by: str, *, if_there: bool) -> None:
        async with opened(self._settings()) as database:
            for row in await self._find_named(event_id, tenant, if_there):
                async with database.tenant(acting(row["tenant_id"], self._service.name, by)) as session:
                    letter = await dead_letters.find_letter(session, row["consumer"], event_id)
                    target = Target(type="dead_letter", id=to_text(Kind.EVENT, event_id))
                    await tell_read(session, "events dlq show", target)
                    await session.commit()
                if letter is not None:
                    payload = dead_letters.payload_of(letter).decode(errors="replace")
                    say({**_letter(row), "headers": letter.envelope["headers"], "payload": payload})

    async def retry(self, event_id: UUID | None, tenant: str | None, by: str, *, if_there: bool) -> None:
        async with self._redrive(by) as redrive:
            for row in await self._find_named(event_id, tenant, if_there):
                if not (row["waiting"] and event_id is None):  # it follows the one it waits for
                    self._tell(row, await redrive.retry(row["tenant_id"], row["event_id"]))

    async def drop(self, event_id: UUID, tenant: str | None, reason: str, by: str, *, if_there: bool) -> None:
        async with self._redrive(by) as redrive:
            for row in await self._find_named(event_id, tenant, if_there):
                self._tell(row, await redrive.drop(row["tenant_id"], event_id, reason))

    async def replay(self, since: datetime | None, by: str, dry_run: bool) -> None:
        async with self._handling() as handling:
            if not dry_run:
                event = LogReplayed(tenant_id=PLATFORM_TENANT, service=self._service.name, since=since)
                await self._record(handling.database, event, by)
            replay = Replay(handling, self._settings(), since=since, dry_run=dry_run)
            topics: list[Topic] = sorted({event.TOPIC for event in (*self._service.handlers, *PROJECTIONS)})
            await replay.run(topics, _progress)
        say({"dry_run": dry_run, "records": dict(replay.counts)})

    async def publish_again(
        self, since: datetime | None, numbers: tuple[int, int] | None, by: str, dry_run: bool
    ) -> None:
        async with relay_connection(self._settings()) as connection:
            span = await republication.find_span(connection, since, numbers)
            if span is not None and not dry_run:
                context = acting(PLATFORM_TENANT, self._service.name, by)
                await republication.wish(connection, context, self._service.name, span)
                while (done := await republication.done(connection, span)) < span.events:
                    _progress(done, span.events)
                    await asyncio.sleep(_LOOK_SECONDS)
        found = {"first": span.first, "last": span.last} if span is not None else {}
        say({"dry_run": dry_run, "events": span.events if span is not None else 0, **found})

    async def snapshot(self, tenant_id: UUID | None, by: str, dry_run: bool) -> None:
        describe = self._service.describe
        if describe is None:
            raise typer.BadParameter(f"nobody projects what {self._service.name} has")
        settings = self._settings()
        tenants = await list_tenants(settings.relay_database_url)
        if tenant_id is not None:
            if tenant_id not in tenants:
                raise typer.BadParameter(f"there is no tenant {to_text(Kind.TENANT, tenant_id)}")
            tenants = [tenant_id]
        told = 0
        async with opened(settings) as database:
            if not dry_run:
                event = StateTold(tenant_id=tenant_id or PLATFORM_TENANT, service=self._service.name)
                await self._record(database, event, by)
            done = describe_all(self._service.name, database, describe, tenants, dry_run=dry_run)
            async for place, count in _numbered(done):
                told += count
                _progress(place, len(tenants))
        say({"dry_run": dry_run, "tenants": len(tenants), "events": told})

    async def _record(self, database: Database, event: LogReplayed | StateTold, by: str) -> None:
        """Have what begins now in the audit log."""
        async with database.tenant(acting(event.tenant_id, self._service.name, by)) as session:
            await outbox.emit(session, event)
            await session.commit()

    def _tell(self, row: asyncpg.Record, outcome: Outcome) -> None:
        say({**_letter(row), **asdict(outcome)})

    async def _find(self, event_id: UUID | None, tenant: str | None = None) -> list[asyncpg.Record]:
        async with relay_connection(self._settings()) as connection:
            rows = list(await connection.fetch(_LIST, event_id))
        return rows if event_id is None and tenant is None else of_one_tenant(rows, tenant)

    async def _find_named(
        self, event_id: UUID | None, tenant: str | None, if_there: bool
    ) -> list[asyncpg.Record]:
        """The letters of one event, or of all.

        Raises:
            BadParameter: the event that was named has none here.
        """
        found = await self._find(event_id, tenant)
        if event_id is not None and not (found or if_there):
            raise typer.BadParameter(f"there is no dead letter {to_text(Kind.EVENT, event_id)}")
        return found

    @asynccontextmanager
    async def _handling(self) -> AsyncGenerator[Handling]:
        async with opened(self._settings()) as database:
            yield Handling(self._service.name, database, self._service.handlers)

    @asynccontextmanager
    async def _redrive(self, by: str) -> AsyncGenerator[Redrive]:
        """Work on dead letters; afterwards a consumer that had stopped because of them goes on."""
        async with self._handling() as handling:
            yield Redrive(handling, by)
        async with relay_connection(self._settings()) as connection:
            await brake.release(connection, self._service.name)


async def _numbered(counts: AsyncIterator[int]) -> AsyncIterator[tuple[int, int]]:
    place = 0
    async for count in counts:
        place += 1
        yield place, count


def _read_numbers(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = _NUMBERS.fullmatch(text)
    if found is None:
        raise typer.BadParameter("numbers are written 17-20")
    return int(found[1]), int(found[2])


def _progress(done: int, total: int) -> None:
    say({"progress": {"done": done, "total": total}})


def _letter(row: asyncpg.Record) -> dict[str, Any]:
    return {
        **dict(row),
        "tenant_id": to_text(Kind.TENANT, row["tenant_id"]),
        "event_id": to_text(Kind.EVENT, row["event_id"]),
        "died_at": clock.rfc3339(row["died_at"]),
    }
