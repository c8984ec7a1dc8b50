"""`python -m tenants deletion …`: what operators ask about deletions; prints JSON."""

import asyncio
import json
from typing import Any
from uuid import UUID

import typer

from common import clock
from common.context import SystemContext
from common.ids import Kind, parse
from common.service import open_database
from tenants.deletion import queries
from tenants.settings import TenantsSettings


def deletion_commands() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(no_args_is_help=True, help="Deletions of tenants; prints JSON.")

    @app.command("show")
    def show(tenant: str) -> None:
        """How far the deletion of a tenant is."""
        _print(asyncio.run(_read(parse(Kind.TENANT, tenant))))

    @app.command("certificate")
    def certificate(tenant: str) -> None:
        """What was erased, and what is kept and why; status 1 while there is no certificate."""
        certified = asyncio.run(_read(parse(Kind.TENANT, tenant))).get("certificate")
        if certified is None:
            typer.echo("There is no certificate (yet): see `deletion show`.", err=True)
            raise typer.Exit(1)
        _print(certified)

    _ = (show, certificate)
    return app


async def _read(tenant_id: UUID) -> dict[str, Any]:
    database = open_database(TenantsSettings())  # type: ignore[call-arg]  # fields come from the environment
    try:
        async with database.tenant(SystemContext(tenant_id, "job", "tenants")) as session:
            row = await queries.find_deletion(session)
            reports = await queries.list_reports(session)
    finally:
        await database.close()
    if row is None:
        return {}
    times = ("scheduled_at", "erase_at", "deleted_at", "erased_at", "certified_at")
    told = {name: clock.rfc3339(time) for name in times if (time := getattr(row, name)) is not None}
    return {**told, "reported": [report.service for report in reports], "certificate": row.certificate}


def _print(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2))
