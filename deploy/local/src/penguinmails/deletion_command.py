"""`penguinmails deletion …`: how far the deletions of tenants are, and on with those that are stuck."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.json import JSON
from rich.table import Table

from penguinmails import display
from penguinmails.arguments import Tenant
from penguinmails.display import console
from penguinmails.services import Document, ask, by
from penguinmails.stack import Stack
from penguinmails.terminal import escape

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]

_STEPS = (
    ("certified_at", "certified"),
    ("erased_at", "erased, its events run out"),
    ("deleted_at", "being erased"),
    ("begun_at", "being deleted"),
    ("scheduled_at", "scheduled"),
)
"""What is so once the time is there; the furthest counts."""


def deletion_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Deletions of tenants: find, explain, go on.")

    def asked(*words: str) -> list[Document]:
        return ask(running(), ["tenants"], "deletion", *words, *by())

    @app.command("list")
    def list_deletions(
        stuck: Annotated[
            bool, typer.Option("--stuck", help="Only what something stands in the way of.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Deletions that are not certified yet, oldest first."""
        found = asked("list", *(["--stuck"] if stuck else []))
        display.machine_readable(found) if as_json else console.print(_table(found))

    @app.command()
    def show(tenant: Tenant, as_json: AsJson = False) -> None:
        """One deletion: how far it is, who has not reported, and the certificate when there is one."""
        (found,) = asked("show", tenant)
        display.machine_readable(found) if as_json else console.print(JSON.from_data(found))

    @app.command()
    def certificate(tenant: Tenant) -> None:
        """What was erased, and what is kept and why, as the document that it is."""
        (found,) = asked("show", tenant)
        if found["certificate"] is None:
            console.print(f"[yellow]There is no certificate yet: {stage(found)}.[/]")
            raise typer.Exit(1)
        display.machine_readable(found["certificate"])

    @app.command("run")
    def run_deletion(tenant: Tenant) -> None:
        """Have the next step taken now; never before the grace is over."""
        (found,) = asked("run", tenant)
        console.print(f"{escape(tenant)}: {stage(found)}; its next step is due.")

    _ = (list_deletions, show, certificate, run_deletion)
    return app


def stage(found: Document) -> str:
    """How far a deletion is, in words."""
    return next(words for name, words in _STEPS if name in found)


def _table(found: list[Document]) -> Table:
    table = Table("tenant", "is", "erased from", "next step", "problem", "missing", box=None, pad_edge=False)
    for one in found:
        problem = f"[red]{escape(one['problem'])}[/]" if one["problem"] else ""
        times = one["erase_at"], one["next_step_at"]
        table.add_row(one["tenant_id"], stage(one), *times, problem, ", ".join(one["missing"]))
    return table
