"""`python -m tenants billing …`: what operators ask of billing; prints JSON."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from common.errors import NotFound
from common.ids import Kind
from common.operators import from_environment, opened, read_id, run, say
from tenants.billing.gateway import BillingFailed
from tenants.billing.reconciliation import Entry, Reconciliation, Report
from tenants.billing.worker import open_clerk
from tenants.settings import TenantsSettings

commands = typer.Typer(no_args_is_help=True, help="Billing, compared with Stripe; prints JSON.")


@commands.callback()
def group() -> None:
    """Billing, compared with Stripe; prints JSON."""


@commands.command()
def reconcile(
    tenant: Annotated[str | None, typer.Option(help="One tenant; all when left out.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; change nothing.")] = False,
) -> None:
    """Compare every tenant's billing with Stripe and mend what differs; status 1 when some failed."""
    run(_reconcile(read_id(Kind.TENANT, tenant) if tenant else None, dry_run=dry_run))


async def _reconcile(tenant_id: UUID | None, *, dry_run: bool) -> None:
    report, settings = Report(), from_environment(TenantsSettings)
    try:
        async with opened(settings) as database, open_clerk(database, settings) as clerk:
            async for entry in _entries(Reconciliation(clerk, dry_run=dry_run), tenant_id):
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


async def _entries(reconciliation: Reconciliation, tenant_id: UUID | None) -> AsyncIterator[Entry]:
    if tenant_id is not None:
        yield await reconciliation.run_one(tenant_id)
        return
    async for entry in reconciliation.run():
        yield entry
