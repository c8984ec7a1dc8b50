"""`penguinmails events …`: asks the services' own operator commands and shows what they say."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.json import JSON
from rich.table import Table

from penguinmails import display
from penguinmails.arguments import Event, MaybeEvent
from penguinmails.credentials import SERVICES
from penguinmails.display import console
from penguinmails.parked_command import DryRun, Reason, Whose, gaps_app, of, only_try, parked_app
from penguinmails.services import Document, ask, by
from penguinmails.stack import Stack
from penguinmails.terminal import escape

Chosen = Annotated[str | None, typer.Option("--service", help="One service; all when left out.")]
Publish = Annotated[
    bool, typer.Option("--publish", help="Publish history again instead, for subscribers that lost it.")
]
Numbers = Annotated[str | None, typer.Option(help="With --publish: these `ce_sequence` only, as 17-20.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Services = Annotated[list[str], typer.Argument(help="The service, or several.")]


_RESULTS = {
    "applied": "[green]applied[/]",
    "dropped": "[green]dropped[/]",
    "gone": "already gone: somebody else has retried or dropped it",
}
"""How good ends of a dead letter are told."""


def events_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Lag, dead letters, replay and snapshots of the services.")
    app.add_typer(_letters(running), name="dlq")
    app.add_typer(parked_app(running), name="parked")
    app.add_typer(gaps_app(running), name="gaps")

    @app.command()
    def lag(service: Chosen = None, as_json: AsJson = False) -> None:
        """How far behind every outbox and every consumer is."""
        found = _ask(running(), service, "lag")
        display.machine_readable(found) if as_json else console.print(_lag_table(found))

    @app.command()
    def replay(
        service: Services,
        consumer: Annotated[
            str | None, typer.Option(help="The service's own, of the same name: no other can replay.")
        ] = None,
        since: Annotated[str | None, typer.Option("--from", help="2026-01-31T12:00:00Z")] = None,
        everything: Annotated[bool, typer.Option("--all", help="From the first record.")] = False,
        publish: Publish = False,
        numbers: Numbers = None,
        dry_run: DryRun = False,
    ) -> None:
        """Read the log again beside the running consumer: projects again, handles what was not."""
        reach = [*(["--from", since] if since else []), *(["--all"] if everything else [])]
        reach += ["--publish"] * publish + (["--numbers", numbers] if numbers else [])
        named = ["--consumer", consumer] if consumer else []
        words = ["replay", *by(), *named, *reach, *only_try(dry_run)]
        for answer in _ask_some(running(), service, *words):
            console.print(JSON.from_data(answer))

    @app.command()
    def snapshot(
        service: Services,
        tenant: Annotated[str | None, typer.Option(help="One tenant; all when left out.")] = None,
        dry_run: DryRun = False,
    ) -> None:
        """Tell the service's present state again, for projections older than the history."""
        words = ["snapshot", *by(), *of(tenant), *only_try(dry_run)]
        for answer in _ask_some(running(), service, *words):
            console.print(JSON.from_data(answer))

    _ = (lag, replay, snapshot)
    return app


def _letters(running: Callable[[], Stack]) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help="Events that could not be handled.")

    @app.command("list")
    def list_letters(service: Chosen = None, as_json: AsJson = False) -> None:
        """Dead letters and what waits behind them, oldest first."""
        found = _ask(running(), service, "dlq", "list", *by())
        display.machine_readable(found) if as_json else console.print(_letter_table(found))

    @app.command()
    def show(event: Event, service: Chosen = None, tenant: Whose = None) -> None:
        """Envelope and payload of one event."""
        found = _ask(running(), service, "dlq", "show", event, "--if-there", *of(tenant), *by())
        for letter in _known(found, event):
            console.print(JSON.from_data(letter), soft_wrap=True)

    @app.command()
    def retry(
        event: MaybeEvent = None,
        everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
        service: Chosen = None,
        tenant: Whose = None,
    ) -> None:
        """Handle a dead event again, then what waits behind it."""
        if (event is None) != everything:
            raise typer.BadParameter("name an event, or say --all")
        words = ["dlq", "retry", *by(), *of(tenant), *([event, "--if-there"] if event else ["--all"])]
        found = _ask(running(), service, *words)
        _report(found if everything else _known(found, str(event)))

    @app.command()
    def drop(event: Event, reason: Reason, service: Chosen = None, tenant: Whose = None) -> None:
        """Give a dead event up: it stays without effect, and what waits behind it goes on."""
        words = ["dlq", "drop", event, "--if-there", "--reason", reason, *of(tenant), *by()]
        found = _ask(running(), service, *words)
        _report(_known(found, event))

    _ = (list_letters, show, retry, drop)
    return app


def _ask(stack: Stack, chosen: str | None, *words: str) -> list[Document]:
    """What the services answer, one document a line, with the service's name; exits when one fails."""
    return _ask_some(stack, [chosen] if chosen else SERVICES, *words)


def _ask_some(stack: Stack, chosen: Sequence[str], *words: str) -> list[Document]:
    for name in chosen:
        if name not in SERVICES:
            raise typer.BadParameter(f"there is no service {name}: {', '.join(SERVICES)}")
    return ask(stack, chosen, "events", *words)


def _known(found: list[Document], event: str) -> list[Document]:
    if not found:
        console.print(f"[red]No dead letter {escape(event)}.[/]")
        raise typer.Exit(1)
    return found


def _report(found: list[Document]) -> None:
    """What became of each letter; status 1 when one is still dead."""
    for letter in found:
        result = _RESULTS.get(letter["result"], f"[red]{letter['result']}[/]")
        error = f" ({escape(letter['error'])})" if letter["error"] else ""
        console.print(
            f"{letter['service']} {letter['event_id']} {result}{error}, {letter['followed']} followed"
        )
    console.print(f"{len(found)} in all.")
    if any(letter["result"] in ("failed", "waits") for letter in found):
        raise typer.Exit(1)


def _lag_table(found: list[Document]) -> Table:
    table = Table(
        *("service", "outbox", "oldest", "parked", "consumer", "behind", "seconds", "dead", "waiting", ""),
        box=None,
        pad_edge=False,
    )
    for service in found:
        outbox = service["outbox"]
        oldest = "" if outbox["oldest_seconds"] is None else f"{outbox['oldest_seconds']:.1f} s"
        own = [service["service"], str(outbox["rows"]), oldest, str(outbox["parked"])]
        for consumer in service["consumers"] or [None]:
            table.add_row(*own, *_lag_cells(consumer))
            own = ["", "", "", ""]
    return table


def _lag_cells(consumer: Document | None) -> list[str]:
    if consumer is None:
        return []
    numbers = [
        consumer["records"],
        f"{consumer['seconds']:.1f}",
        consumer["dead_letters"],
        consumer["waiting"],
    ]
    stopped = f"[red]stopped {consumer['stopped_at']}[/]" if consumer["stopped_at"] else ""
    return [consumer["consumer"], *map(str, numbers), stopped]


def _letter_table(found: list[Document]) -> Table:
    table = Table(
        "service", "event", "type", "tenant", "subject", "reason", "died at", box=None, pad_edge=False
    )
    for letter in found:
        names = ("service", "event_id", "type", "tenant_id", "subject", "reason", "died_at")
        table.add_row(*(escape(str(letter[name])) for name in names))
    return table
