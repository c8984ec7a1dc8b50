"""`python -m tenants deletion …`: what operators ask about deletions; prints JSON."""

from typing import Any
from uuid import UUID

import typer

from common import clock
from common.context import SystemContext
from common.ids import Kind
from common.operators import from_environment, opened, read_id, run, say
from tenants.deletion import queries
from tenants.settings import TenantsSettings

commands = typer.Typer(no_args_is_help=True, help="Deletions of tenants; prints JSON.")


@commands.command()
def show(tenant: str) -> None:
    """How far the deletion of a tenant is; nothing when it is to stay."""
    run(_show(read_id(Kind.TENANT, tenant)))


@commands.command()
def certificate(tenant: str) -> None:
    """What was erased, and what is kept and why; status 1 while there is no certificate."""
    run(_certify(read_id(Kind.TENANT, tenant)))


async def _show(tenant_id: UUID) -> None:
    if (found := await _read(tenant_id)) is not None:
        say(found)


async def _certify(tenant_id: UUID) -> None:
    found = await _read(tenant_id)
    if found is None or found["certificate"] is None:
        typer.echo("There is no certificate (yet): see `deletion show`.", err=True)
        raise typer.Exit(1)
    say(found["certificate"])


async def _read(tenant_id: UUID) -> dict[str, Any] | None:
    context = SystemContext(tenant_id, "job", "tenants")
    async with opened(from_environment(TenantsSettings)) as database, database.tenant(context) as session:
        row = await queries.find_deletion(session)
        reports = await queries.list_reports(session)
    if row is None:
        return None
    times = ("scheduled_at", "erase_at", "deleted_at", "erased_at", "certified_at")
    told = {name: clock.rfc3339(time) for name in times if (time := getattr(row, name)) is not None}
    return {**told, "reported": [report.service for report in reports], "certificate": row.certificate}
