"""The command `penguinmails`."""

import os
import subprocess
import sys
import time
from typing import Annotated

import typer
from rich.json import JSON
from rich.markup import escape

from penguinmails import demo, display, documents, mailbox, trace
from penguinmails.billing_command import billing_app
from penguinmails.binaries import BinaryMissing
from penguinmails.config import Broker
from penguinmails.deletion_command import deletion_app
from penguinmails.display import console
from penguinmails.events_command import events_app
from penguinmails.home import default_home
from penguinmails.isolation.command import app as isolation
from penguinmails.operator_commands import operator_app, tenants_app
from penguinmails.postgres import DataUnusable
from penguinmails.privileges import CannotDropRoot
from penguinmails.provisioning_command import provisioning_app
from penguinmails.stack import Stack, StackFailed

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The PenguinMails local stack and its tools."
)
mail = typer.Typer(no_args_is_help=True, help="Mails the local stack has caught.")
app.add_typer(mail, name="mail")
app.add_typer(isolation, name="isolation")
app.add_typer(documents.app)


def _stack() -> Stack:
    return Stack(default_home(), _port_wanted())


def _port_wanted() -> int | None:
    text = os.environ.get("PORT", "")
    if text and not (text.isdigit() and 0 < int(text) < 65536):
        raise typer.BadParameter(f"PORT={text} is not a port number")
    return int(text) if text else None


def _running_stack() -> Stack:
    stack = _stack()
    if not stack.is_running():
        console.print("[red]The stack is not running.[/] Start it with [bold]make up[/].")
        raise typer.Exit(1)
    return stack


app.add_typer(events_app(_running_stack), name="events")
app.add_typer(provisioning_app(_running_stack), name="provisioning")
app.add_typer(deletion_app(_running_stack), name="deletion")
app.add_typer(operator_app(_running_stack), name="operator")
app.add_typer(tenants_app(_running_stack), name="tenants")
app.add_typer(billing_app(_running_stack), name="billing")


@app.command()
def up(
    kafka: Annotated[
        Broker, typer.Option(envvar="KAFKA", help="The broker: Tansu, or Apache Kafka after `make kafka`.")
    ] = Broker.TANSU,
) -> None:
    """Start everything and wait until it is ready."""
    stack, began = Stack(default_home(), _port_wanted(), broker=kafka), time.monotonic()
    try:
        started = stack.up(progress=display.step)
    except StackFailed as failure:
        display.failure(stack, failure)
        raise typer.Exit(1) from failure
    if started:
        console.print(f"[green]Ready[/] in {time.monotonic() - began:.1f} s.")
    else:
        console.print("[green]Already running.[/]")
    display.ports_taken(stack)
    display.processes(stack)
    display.stand_ins(stack)
    demo.show_ways_in(stack)


@app.command()
def down() -> None:
    """Stop everything and keep the data."""
    console.print("Stopped." if _stack().down() else "Nothing was running.")


@app.command()
def reset() -> None:
    """Stop everything and erase the data, mails, traces and keys."""
    stack = _stack()
    stack.erase()
    console.print(f"Erased {stack.home.root}.")


@app.command()
def status() -> None:
    """Show every process; status 1 when something is not ready."""
    stack = _running_stack()
    display.processes(stack)
    if not stack.state.is_ready():
        raise typer.Exit(1)


@app.command()
def logs(
    service: Annotated[str | None, typer.Argument(help="One process; all when left out.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on showing new lines.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="How many lines to begin with.")] = 100,
) -> None:
    """Show the logs."""
    folder = _stack().home.logs
    files = sorted(folder.glob(f"{service or '*'}.log"))
    if not files:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "none yet"
        console.print(f"[red]No such log.[/] There are: {known}")
        raise typer.Exit(1)
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, files)]
    try:
        raise typer.Exit(subprocess.run(command, check=False).returncode)
    except KeyboardInterrupt as stop:
        raise typer.Exit(0) from stop


@app.command()
def env(as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False) -> None:
    """Print addresses, database connections and process ids."""
    facts = _running_stack().env()
    if as_json:
        display.machine_readable(facts)
    else:
        console.print(JSON.from_data(facts))


@app.command()
def migrate() -> None:
    """Bring the databases of the running stack up to date."""
    home = _running_stack().home
    command = [sys.executable, "-m", "penguinmails.migrations", str(home.root)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command(name="demo")
def play_demo() -> None:
    """Play the story: two tenants, an attempt to cross the border, and what the audit log says."""
    try:
        demo.play(_running_stack())
    except demo.DemoFailed as failure:
        console.print(f"[red]{failure}[/]")
        raise typer.Exit(1) from failure


@app.command(name="trace")
def show_trace(trace_id: Annotated[str, typer.Argument(help="From the header X-Trace-Id.")]) -> None:
    """Draw the span tree of one request."""
    spans = trace.find(_stack().home.traces, trace_id.strip().lower(), patience=2.0)
    if not spans:
        console.print(f"[red]No spans of trace {trace_id}.[/]")
        raise typer.Exit(1)
    console.print(trace.tree(spans))


Recipient = Annotated[str | None, typer.Option("--to", help="Only mails to this address.")]


@mail.command("list")
def list_mails(to: Recipient = None) -> None:
    """The caught mails, newest first; numbers are for `mail show`."""
    console.print(mailbox.table(mailbox.read_all(_stack().home.mail, to)))


@mail.command("show")
def show_mail(
    number: Annotated[int, typer.Argument(help="As in `mail list`; 1 is the newest.")] = 1,
    to: Recipient = None,
) -> None:
    """Headers and text of one mail."""
    mails = mailbox.read_all(_stack().home.mail, to)
    if not 0 < number <= len(mails):
        console.print(f"[red]There are {len(mails)} mails{f' to {escape(to)}' if to else ''}.[/]")
        raise typer.Exit(1)
    console.print(mailbox.text(mails[number - 1]), markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    try:
        app()
    except (BinaryMissing, CannotDropRoot, DataUnusable, PermissionError, StackFailed) as problem:
        console.print(f"[red]{problem}[/]")
        sys.exit(1)


if __name__ == "__main__":
    main()
