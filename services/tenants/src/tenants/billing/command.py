"""`python -m tenants billing …`: what operators ask of billing."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from common.errors import NotFound
from common.ids import Kind, parse
from common.service import open_database
from tenants.billing.gateway import BillingFailed
from tenants.billing.reconciliation import Entry, Reconciliation, Report
from tenants.billing.worker import open_clerk
from tenants.settings import TenantsSettings


def billing_commands() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(no_args_is_help=True, help="Billing, compared with Stripe.")

    @app.callback()
    def group() -> None:
        """Billing, compared with Stripe."""

    @app.command()
    def reconcile(
        tenant: Annotated[str | None, typer.Option(help="One tenant; all when left out.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; change nothing.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
    ) -> None:
        """Compare every tenant's billing with Stripe and mend what differs; status 1 when some failed."""
        settings = TenantsSettings()  # type: ignore[call-arg]  # from the environment
        try:
            report = asyncio.run(_reconcile(settings, _tenant_id(tenant), dry_run, as_json))
        except BillingFailed as failure:
            typer.echo(f"Stripe cannot be asked: {failure.code}", err=True)
            raise typer.Exit(1) from failure
        except NotFound as error:
            raise typer.BadParameter(f"{tenant} has no billing here") from error
        if report.counts["failed"]:
            raise typer.Exit(1)

    _ = (group, reconcile)
    return app


def _tenant_id(text: str | None) -> UUID | None:
    try:
        return parse(Kind.TENANT, text) if text is not None else None
    except ValueError as error:
        raise typer.BadParameter(f"{text} is not the id of a tenant") from error


async def _reconcile(
    settings: TenantsSettings, tenant_id: UUID | None, dry_run: bool, as_json: bool
) -> Report:
    report = Report()
    async with _open(settings, dry_run) as reconciliation:
        async for entry in _entries(reconciliation, tenant_id):
            report.add(entry)
            if as_json:
                typer.echo(json.dumps(asdict(entry)))
            elif entry.result != "agrees":
                typer.echo(_line(entry))
    if as_json:
        typer.echo(json.dumps({"counts": report.counts}))
    else:
        typer.echo(", ".join(f"{count} {result}" for result, count in report.counts.items()) or "no tenants")
    return report


@asynccontextmanager
async def _open(settings: TenantsSettings, dry_run: bool) -> AsyncGenerator[Reconciliation]:
    database = open_database(settings)
    try:
        async with open_clerk(database, settings) as clerk:
            yield Reconciliation(clerk, dry_run=dry_run)
    finally:
        await database.close()


async def _entries(reconciliation: Reconciliation, tenant_id: UUID | None) -> AsyncIterator[Entry]:
    if tenant_id is not None:
        yield await reconciliation.run_one(tenant_id)
        return
    async for entry in reconciliation.run():
        yield entry


def _line(entry: Entry) -> str:
    whose = [entry.tenant_id or "no tenant", *([entry.customer_id] if entry.customer_id else [])]
    return f"{' '.join(whose)}: {entry.result} {' '.join(entry.findings)}{entry.error or ''}".rstrip()
