"""`python -m tenants billing …`: what operators ask of billing; prints JSON."""

from dataclasses import asdict
from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from common.contracts.audit import Target
from common.db.session import Database
from common.errors import NotFound
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.operators import By, acting, from_environment, opened, read_id, run, say, tell_first, tell_read
from tenants.billing import queries
from tenants.billing.gateway import BillingFailed
from tenants.billing.orders import entries_of
from tenants.billing.presentation import present, summarise
from tenants.billing.reconciliation import Reconciliation, Report
from tenants.billing.worker import open_clerk
from tenants.platform.paging import every
from tenants.settings import TenantsSettings

commands = typer.Typer(no_args_is_help=True, help="Billing: list, show, compare with Stripe; prints JSON.")


@commands.command("list")
def list_billing(
    by: By,
    status: Annotated[str | None, typer.Option(help="Stripe's own, or `pending`.")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only those whose last attempt failed.")] = False,
) -> None:
    """How billing stands, of the newest tenants first."""
    run(_list(by, queries.WantedBilling(status, stuck)))


@commands.command()
def show(tenant: Annotated[str, typer.Argument(help="tenant_…")], by: By) -> None:
    """How one tenant's billing stands."""
    run(_show(read_id(Kind.TENANT, tenant), by))


@commands.command()
def reconcile(
    by: By,
    tenant: Annotated[str | None, typer.Option(help="One tenant; all when left out.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; change nothing.")] = False,
) -> None:
    """Compare every tenant's billing with Stripe and mend what differs; status 1 when some failed."""
    run(_reconcile(read_id(Kind.TENANT, tenant) if tenant else None, by, dry_run=dry_run))


async def _list(by: str, wanted: queries.WantedBilling) -> None:
    context = acting(PLATFORM_TENANT, "tenants", by)
    async with opened(from_environment(TenantsSettings)) as database:
        await tell_first(database, context, "billing list")
        async with database.tenant(context) as session:
            async for row in every(partial(queries.find_billing, session, wanted)):
                say(summarise(row).model_dump(mode="json"))


async def _show(tenant_id: UUID, by: str) -> None:
    context = acting(tenant_id, "tenants", by)
    async with opened(from_environment(TenantsSettings)) as database, database.tenant(context) as session:
        found = present(await queries.get_subscription(session))
        await tell_read(session, "billing show", Target(type="tenant", id=to_text(Kind.TENANT, tenant_id)))
        await session.commit()
    say(found.model_dump(mode="json"))


async def _reconcile(tenant_id: UUID | None, by: str, *, dry_run: bool) -> None:
    report, settings = Report(), from_environment(TenantsSettings)
    try:
        async with opened(settings) as database, open_clerk(database, settings) as clerk:
            await _tell(database, tenant_id, by)
            async for entry in entries_of(Reconciliation(clerk, dry_run=dry_run), tenant_id):
                report.add(entry)
                say(asdict(entry))
    except BillingFailed as failure:
        typer.echo(f"Stripe cannot be asked: {failure.code}", err=True)
        raise typer.Exit(1) from failure
    except NotFound as error:
        raise typer.BadParameter("the tenant has no billing here") from error
    say({"counts": report.counts})
    if report.counts["failed"]:
        raise typer.Exit(1)


async def _tell(database: Database, tenant_id: UUID | None, by: str) -> None:
    """In the log of whom it is about; what was mended is told besides."""
    named = () if tenant_id is None else (Target(type="tenant", id=to_text(Kind.TENANT, tenant_id)),)
    async with database.tenant(acting(tenant_id or PLATFORM_TENANT, "tenants", by)) as session:
        await tell_read(session, "billing reconcile", *named)
        await session.commit()
