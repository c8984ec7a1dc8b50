"""`python -m tenants deletion …`: deletions, seen and helped on by operators; prints JSON."""

from typing import Annotated, Any
from uuid import UUID

import typer

from common.contracts.audit import Target
from common.db.session import TenantSession
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.operators import By, acting, from_environment, opened, read_id, run, say, tell_read
from tenants.deletion import queries, service
from tenants.deletion.presentation import present
from tenants.settings import TenantsSettings

commands = typer.Typer(no_args_is_help=True, help="Deletions of tenants: list, show, run; prints JSON.")

Tenant = Annotated[str, typer.Argument(help="tenant_…")]


@commands.command("list")
def list_deletions(
    by: By,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only those that something stands in the way of.")
    ] = False,
) -> None:
    """Every deletion that is not certified yet, oldest first."""
    run(_list(by, stuck))


@commands.command()
def show(tenant: Tenant, by: By) -> None:
    """How far the deletion of a tenant is."""
    run(_show(read_id(Kind.TENANT, tenant), by))


@commands.command()
def certificate(tenant: Tenant, by: By) -> None:
    """What was erased, and what is kept and why; status 1 while there is no certificate."""
    run(_certify(read_id(Kind.TENANT, tenant), by))


@commands.command("run")
def run_deletion(tenant: Tenant, by: By) -> None:
    """Have the next step taken now, not when it comes again by itself; never before the grace is over."""
    run(_run(read_id(Kind.TENANT, tenant), by))


async def _list(by: str, stuck: bool) -> None:
    async with opened(from_environment(TenantsSettings)) as database:
        async with database.tenant(acting(PLATFORM_TENANT, "tenants", by)) as session:
            tenants = await queries.list_open_tenants(session)
            await tell_read(session, "deletion list")
            await session.commit()
        for tenant_id in tenants:
            async with database.tenant(acting(tenant_id, "tenants", by)) as session:
                found = await _describe(session)
            if found is not None and (found["problem"] or not stuck):
                say(found)


async def _show(tenant_id: UUID, by: str) -> None:
    if (found := await _read(tenant_id, by, "deletion show")) is None:
        raise _staying(tenant_id)
    say(found)


async def _certify(tenant_id: UUID, by: str) -> None:
    found = await _read(tenant_id, by, "deletion certificate")
    if found is None or found["certificate"] is None:
        typer.echo("There is no certificate (yet): see `deletion show`.", err=True)
        raise typer.Exit(1)
    say(found["certificate"])


async def _run(tenant_id: UUID, by: str) -> None:
    context = acting(tenant_id, "tenants", by)
    async with opened(from_environment(TenantsSettings)) as database, database.tenant(context) as session:
        await service.hasten(session)
        found = await _describe(session)
        await session.commit()
    if found is None:
        raise _staying(tenant_id)
    say(found)


def _staying(tenant_id: UUID) -> typer.BadParameter:
    return typer.BadParameter(f"there is no deletion of {to_text(Kind.TENANT, tenant_id)}")


async def _read(tenant_id: UUID, by: str, command: str) -> dict[str, Any] | None:
    context = acting(tenant_id, "tenants", by)
    async with opened(from_environment(TenantsSettings)) as database, database.tenant(context) as session:
        found = await _describe(session)
        if found is not None:
            await tell_read(session, command, Target(type="tenant", id=to_text(Kind.TENANT, tenant_id)))
            await session.commit()
    return found


async def _describe(session: TenantSession) -> dict[str, Any] | None:
    """The deletion without times that have not come."""
    row = await queries.find_deletion(session)
    if row is None:
        return None
    told = (await present(session, row)).model_dump(mode="json")
    return {name: value for name, value in told.items() if value is not None or not name.endswith("_at")}
