"""`penguinmails events parked …` and `events gaps …`: events that were never published, or never arrived."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.json import JSON
from rich.table import Table

from penguinmails import display
from penguinmails.arguments import Event
from penguinmails.credentials import SERVICES
from penguinmails.display import console
from penguinmails.services import Document, ask, by
from penguinmails.stack import Stack
from penguinmails.terminal import escape

Some = Annotated[str | None, typer.Argument(help="All services when left out.")]
Owner = Annotated[str, typer.Argument(help="The service whose event it is.")]
Whose = Annotated[str | None, typer.Option("--tenant", help="Where several tenants have the id.")]
Reason = Annotated[str, typer.Option(help="For the audit log.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count; change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Shorter = Annotated[Path | None, typer.Option("--data", exists=True, help="A shorter payload, as JSON.")]
Sure = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def of(tenant: str | None) -> list[str]:
    """The option that names a tenant."""
    return ["--tenant", tenant] if tenant else []


def only_try(dry_run: bool) -> list[str]:
    """The option that changes nothing."""
    return ["--dry-run"] if dry_run else []


def parked_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands about parked events."""
    app = typer.Typer(
        no_args_is_help=True, help="Events too large for the broker, and what waits behind them."
    )

    @app.command("list")
    def list_parked(service: Some = None, as_json: AsJson = False) -> None:
        """Parked events, oldest first."""
        chosen = [_known(service)] if service else SERVICES
        found = ask(running(), chosen, "events", "parked", "list", *by())
        display.machine_readable(found) if as_json else console.print(_table(found))

    @app.command()
    def show(service: Owner, event: Event, tenant: Whose = None) -> None:
        """One event with its payload."""
        _report(ask(running(), [_known(service)], "events", "parked", "show", event, *of(tenant), *by()))

    @app.command()
    def retry(
        service: Owner,
        event: Event,
        data: Shorter = None,
        tenant: Whose = None,
        dry_run: DryRun = False,
    ) -> None:
        """Publish it after all: shorter, or because larger ones are taken now."""
        shorter = ["--data", str(data.absolute())] if data else []
        words = ["retry", event, *shorter, *of(tenant), *only_try(dry_run)]
        _report(ask(running(), [_known(service)], "events", "parked", *words, *by()))

    @app.command()
    def drop(
        service: Owner,
        event: Event,
        reason: Reason,
        tenant: Whose = None,
        dry_run: DryRun = False,
        sure: Sure = False,
    ) -> None:
        """Give it up: nobody will ever hear of it, and what waits behind it goes on."""
        if not (sure or dry_run):
            typer.confirm(f"Is {event} to be lost for every subscriber?", abort=True)
        words = ["drop", event, "--reason", reason, *of(tenant), *only_try(dry_run)]
        _report(ask(running(), [_known(service)], "events", "parked", *words, *by()))

    _ = (list_parked, show, retry, drop)
    return app


def gaps_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands about numbers that the audit log lacks."""
    app = typer.Typer(no_args_is_help=True, help="Numbers of events that the audit log lacks.")

    @app.command("list")
    def list_gaps() -> None:
        """What is missing, of which service, and since when."""
        for gap in ask(running(), ["audit"], "gaps", "list", *by()):
            console.print(JSON.from_data(gap))

    @app.command()
    def close(
        gap: Annotated[str, typer.Argument(help="`gap_id`, as it is listed.")],
        reason: Reason,
        dry_run: DryRun = False,
        sure: Sure = False,
    ) -> None:
        """Decide that what is missing will not come: it is counted no more, and stays on record."""
        if not (sure or dry_run):
            typer.confirm("Is it certain that these events cannot be published again?", abort=True)
        words = ["close", gap, "--reason", reason, *only_try(dry_run)]
        for answer in ask(running(), ["audit"], "gaps", *words, *by()):
            console.print(JSON.from_data(answer))

    _ = (list_gaps, close)
    return app


def _known(service: str) -> str:
    if service not in SERVICES:
        raise typer.BadParameter(f"there is no service {service}: {', '.join(SERVICES)}")
    return service


def _report(found: list[Document]) -> None:
    """What was answered; status 1 when there was nothing to answer about."""
    if not found:
        console.print("[red]No such event is parked there.[/]")
        raise typer.Exit(1)
    for event in found:
        console.print(JSON.from_data(event), soft_wrap=True)


def _table(found: list[Document]) -> Table:
    names = (
        "service",
        "event_id",
        "type",
        "tenant_id",
        "subject",
        "bytes",
        "waiting",
        "sequence",
        "parked_at",
    )
    table = Table(*(name.removesuffix("_id").replace("_", " ") for name in names), box=None, pad_edge=False)
    for event in found:
        table.add_row(*(escape(str(event[name])) for name in names))
    return table
