"""The command `penguinmails`."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.json import JSON

from penguinmails import backup, demo, display, documents, log_command, mailbox, status, trace
from penguinmails.backup import BackupFailed
from penguinmails.billing_command import billing_app
from penguinmails.binaries import BinaryMissing
from penguinmails.config import Broker
from penguinmails.deletion_command import deletion_app
from penguinmails.display import console
from penguinmails.doctor import command as examination
from penguinmails.events_command import events_app
from penguinmails.exports_command import exports_app
from penguinmails.home import default_home
from penguinmails.isolation.command import app as isolation
from penguinmails.keys_command import keys_app
from penguinmails.operator_commands import operator_app, tenants_app
from penguinmails.postgres import DataUnusable
from penguinmails.privileges import CannotDropRoot
from penguinmails.provisioning_command import provisioning_app
from penguinmails.stack import Stack, StackFailed
from penguinmails.terminal import escape, typed

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
app.add_typer(exports_app(_running_stack), name="exports")
app.add_typer(operator_app(_running_stack), name="operator")
app.add_typer(keys_app(_running_stack), name="keys")
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
    console.print(status.table(status.rows(stack)))
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
    console.print(f"Erased {escape(str(stack.home.root))}.")


@app.command(name="status")
def show_status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show every process, and how far the events are; status 1 when something is not ready."""
    stack = _running_stack()
    rows = status.rows(stack)
    told = status.document(stack, rows)
    if as_json:
        display.machine_readable(told)
    else:
        console.print(status.table(rows), "", status.events_table(told["processes"]), sep="\n")
    if not told["ready"]:
        raise typer.Exit(1)


app.command(name="logs")(log_command.show)


@app.command()
def env(as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False) -> None:
    """Print addresses, database connections and process ids."""
    facts = _running_stack().env()
    if as_json:
        display.machine_readable(facts)
    else:
        console.print(JSON.from_data(facts))


@app.command(name="backup")
def back_up(target: Annotated[Path, typer.Argument(help="A folder that is empty or not there.")]) -> None:
    """Copy databases, keys and files of the running stack. Whoever has the copy has every secret."""
    backup.back_up(_running_stack(), target.resolve())
    console.print(f"[green]Written and verified:[/] {escape(str(target))}. It holds every secret.")


@app.command(name="restore")
def restore(source: Annotated[Path, typer.Argument(help="What `backup` has written.")]) -> None:
    """Make an empty stack's data out of a backup; then `up`."""
    stack = _stack()
    if stack.is_running():
        console.print(
            typed("[red]The stack is running:[/] `penguinmails down` and `reset`, or another home.")
        )
        raise typer.Exit(1)
    backup.restore(source.resolve(), stack.home)
    console.print(f"Restored into {escape(str(stack.home.root))}. {typed('Then: `penguinmails up`.')}")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Find what is wrong with the machine and the stack, and how to mend it; status 1 when something is."""
    examination.doctor(_stack(), as_json)


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
        console.print(f"[red]{escape(str(failure))}[/]")
        raise typer.Exit(1) from failure


@app.command(name="trace")
def show_trace(
    trace_id: Annotated[str, typer.Argument(help="From the header X-Trace-Id; its beginning is enough.")],
) -> None:
    """Draw the span tree of one request."""
    try:
        spans = trace.find_one(_stack().home.traces, trace_id.strip().lower())
    except trace.NoSuchTrace as problem:
        console.print(f"[red]{escape(str(problem))}[/]")
        for line in problem.others:
            console.print(line, markup=False, soft_wrap=True)
        raise typer.Exit(1) from problem
    console.print(trace.tree(spans))


Recipient = Annotated[str | None, typer.Option("--to", help="Only mails to this address.")]


@mail.command("list")
def list_mails(to: Recipient = None) -> None:
    """The caught mails, newest first; numbers are for `mail show`."""
    mails = mailbox.read_all(_stack().home.mail, to)
    console.print(mailbox.table(mails) if mails else "No mails yet.")


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
    except (
        BackupFailed,
        BinaryMissing,
        CannotDropRoot,
        DataUnusable,
        OSError,
        StackFailed,
    ) as problem:
        console.print(f"[red]{escape(typed(str(problem)))}[/]", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
