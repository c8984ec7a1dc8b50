"""`penguinmails exports …`: how far the exports of tenants are, shown to people."""

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


def exports_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Exports of tenants: find, explain.")

    def asked(*words: str) -> list[Document]:
        return ask(running(), ["tenants"], "exports", *words, *by())

    @app.command("list")
    def list_exports(
        status: Annotated[str | None, typer.Option(help="queued, running, done or failed.")] = None,
        tenant: Annotated[str | None, typer.Option(help="Those of one tenant.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    ) -> None:
        """Exports, newest first."""
        words = [*(["--status", status] if status else []), *(["--tenant", tenant] if tenant else [])]
        found = asked("list", *words)
        display.machine_readable(found) if as_json else console.print(_table(found))

    @app.command()
    def show(tenant: Tenant, job: Annotated[str, typer.Argument(help="job_…")]) -> None:
        """One export: which services have written their part, and why it failed if it did."""
        (found,) = asked("show", tenant, job)
        console.print(JSON.from_data(found))

    _ = (list_exports, show)
    return app


def _table(found: list[Document]) -> Table:
    table = Table("tenant", "job", "since", "status", "missing", "error", box=None, pad_edge=False)
    for one in found:
        error = f"[red]{escape(one['error'])}[/]" if one["error"] else ""
        ids = one["tenant_id"], one["job_id"]
        table.add_row(*ids, one["requested_at"], one["status"], ", ".join(one["missing"]), error)
    return table
