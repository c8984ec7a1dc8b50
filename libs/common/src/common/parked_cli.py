"""`python -m SERVICE events parked …`: events too large for the broker, and how operators mend them."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import typer

from common import clock
from common.bus import parked
from common.contracts.audit import Target
from common.ids import Kind, to_text
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
from common.service import Service
from common.settings import ServiceSettings

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say whether it could be done.")]


def parked_commands(service: Service) -> typer.Typer:
    """The sub-commands of one service."""
    app = typer.Typer(no_args_is_help=True, help="Events too large for the broker.")
    desk = _Desk(service)

    @app.command("list")
    def list_parked(by: By) -> None:
        """All parked events, oldest first, and how many wait behind each."""
        run(desk.list_all(by))

    @app.command("show")
    def show(event: str, by: By, tenant: Tenant = None) -> None:
        """One parked event with its payload."""
        run(desk.show(read_id(Kind.EVENT, event), tenant, by))

    @app.command("retry")
    def retry(
        event: str,
        by: By,
        data: Annotated[Path | None, typer.Option(exists=True, help="A shorter payload, as JSON.")] = None,
        tenant: Tenant = None,
        dry_run: DryRun = False,
    ) -> None:
        """Have a parked event published, with a shorter payload or when larger ones are taken now."""
        payload = data.read_text() if data else None
        run(desk.retry(read_id(Kind.EVENT, event), tenant, payload, by, dry_run))

    @app.command("drop")
    def drop(
        event: str,
        by: By,
        reason: Annotated[str, typer.Option()],
        tenant: Tenant = None,
        dry_run: DryRun = False,
    ) -> None:
        """Give a parked event up; what waits behind it goes on."""
        run(desk.drop(read_id(Kind.EVENT, event), tenant, reason, by, dry_run))

    _ = (list_parked, show, retry, drop)
    return app


class _Desk:
    """One operator's session with a service's outbox."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _settings(self) -> ServiceSettings:
        return from_environment(self._service.settings)

    async def list_all(self, by: str) -> None:
        async with at_the_platform(self._settings(), self._service.name, by) as session:
            await tell_read(session, "events parked list")
            async with relay_connection(self._settings()) as connection:
                rows = await parked.list_parked(connection)
            await session.commit()
        for row in rows:
            say(_told(row))

    async def show(self, event_id: UUID, tenant: str | None, by: str) -> None:
        async with relay_connection(self._settings()) as connection, opened(self._settings()) as database:
            for row in await self._find(connection, event_id, tenant):
                payload = await parked.read_payload(connection, row["tenant_id"], event_id)
                async with database.tenant(acting(row["tenant_id"], self._service.name, by)) as session:
                    target = Target(type="parked_event", id=to_text(Kind.EVENT, event_id))
                    await tell_read(session, "events parked show", target)
                    await session.commit()
                say({**_told(row), "payload": payload})

    async def retry(
        self, event_id: UUID, tenant: str | None, payload: str | None, by: str, dry_run: bool
    ) -> None:
        async with relay_connection(self._settings()) as connection:
            for row in await self._find(connection, event_id, tenant):
                context = acting(row["tenant_id"], self._service.name, by)
                size = await parked.retry(connection, context, event_id, payload, dry_run=dry_run)
                say({**_told(row), "result": "retried", "dry_run": dry_run, "size": size})

    async def drop(self, event_id: UUID, tenant: str | None, reason: str, by: str, dry_run: bool) -> None:
        async with relay_connection(self._settings()) as connection:
            for row in await self._find(connection, event_id, tenant):
                context = acting(row["tenant_id"], self._service.name, by)
                await parked.drop(connection, context, event_id, reason, dry_run=dry_run)
                say({**_told(row), "result": "dropped", "dry_run": dry_run})

    async def _find(
        self, connection: asyncpg.Connection, event_id: UUID, tenant: str | None
    ) -> list[asyncpg.Record]:
        return of_one_tenant(await parked.list_parked(connection, event_id), tenant)


def _told(row: asyncpg.Record) -> dict[str, Any]:
    return {
        **dict(row),
        "tenant_id": to_text(Kind.TENANT, row["tenant_id"]),
        "event_id": to_text(Kind.EVENT, row["event_id"]),
        "parked_at": clock.rfc3339(row["parked_at"]),
    }
