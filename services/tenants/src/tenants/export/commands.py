"""`python -m tenants exports …`: how far exports are, for operators; prints JSON."""

from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from common.contracts.audit import Target
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.operators import By, acting, from_environment, opened, read_id, run, say, tell_first, tell_read
from tenants.export import queries
from tenants.export.presentation import present, summarise
from tenants.export.schemas import ExportStatus
from tenants.platform.paging import every
from tenants.settings import TenantsSettings

commands = typer.Typer(no_args_is_help=True, help="Exports of tenants: list, show; prints JSON.")


@commands.command("list")
def list_exports(
    by: By,
    status: Annotated[ExportStatus | None, typer.Option()] = None,
    tenant: Annotated[str | None, typer.Option(help="Those of one tenant.")] = None,
) -> None:
    """All exports, newest first."""
    whose = None if tenant is None else read_id(Kind.TENANT, tenant)
    run(_list(by, queries.WantedExports(status, whose)))


@commands.command()
def show(
    tenant: Annotated[str, typer.Argument(help="tenant_…")],
    job: Annotated[str, typer.Argument(help="job_…")],
    by: By,
) -> None:
    """One export of a tenant."""
    run(_show(read_id(Kind.TENANT, tenant), read_id(Kind.JOB, job), by))


async def _list(by: str, wanted: queries.WantedExports) -> None:
    context = acting(PLATFORM_TENANT, "tenants", by)
    async with opened(from_environment(TenantsSettings)) as database:
        await tell_first(database, acting(wanted.tenant_id or PLATFORM_TENANT, "tenants", by), "exports list")
        async with database.tenant(context) as session:
            async for row in every(partial(queries.find_exports, session, wanted), "job_id"):
                say(summarise(row).model_dump(mode="json"))


async def _show(tenant_id: UUID, job_id: UUID, by: str) -> None:
    context = acting(tenant_id, "tenants", by)
    async with opened(from_environment(TenantsSettings)) as database, database.tenant(context) as session:
        found = await present(session, await queries.get_export(session, job_id))
        await tell_read(session, "exports show", Target(type="export", id=to_text(Kind.JOB, job_id)))
        await session.commit()
    say(found.model_dump(mode="json"))
