"""`penguinmails billing …`: how billing stands, and what differs from Stripe, shown to people."""

import json
from collections.abc import Callable
from typing import Annotated

import typer
from rich.json import JSON
from rich.table import Table

from penguinmails import display
from penguinmails.arguments import Tenant
from penguinmails.display import console
from penguinmails.services import Document, ask, by, follow
from penguinmails.stack import Stack
from penguinmails.terminal import escape

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def billing_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Billing: look, compare with Stripe.")

    @app.command("list")
    def list_billing(
        status: Annotated[str | None, typer.Option(help="Stripe's own, or `pending`.")] = None,
        stuck: Annotated[bool, typer.Option("--stuck", help="Only those whose last attempt failed.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """How billing stands, of the newest tenants first."""
        words = [*(["--status", status] if status else []), *(["--stuck"] if stuck else [])]
        found = ask(running(), ["tenants"], "billing", "list", *words, *by())
        display.machine_readable(found) if as_json else console.print(_table(found))

    @app.command()
    def show(tenant: Tenant) -> None:
        """How one tenant's billing stands, and what stood in the last attempt's way."""
        (found,) = ask(running(), ["tenants"], "billing", "show", tenant, *by())
        console.print(JSON.from_data(found))

    @app.command()
    def reconcile(
        tenant: Annotated[str | None, typer.Option(help="One tenant; all when left out.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; change nothing.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="As JSON, one document a line.")] = False,
    ) -> None:
        """Compare every tenant's billing with Stripe and mend what differs; status 1 when some failed."""
        words = [*(["--tenant", tenant] if tenant else []), *(["--dry-run"] if dry_run else [])]
        answers = follow(running(), "tenants", "billing", "reconcile", *words)
        for answer in answers:
            display.plain(json.dumps(answer)) if as_json else _show(answer)

    _ = (list_billing, show, reconcile)
    return app


def _table(found: list[Document]) -> Table:
    table = Table("tenant", "plan", "status", "customer", "errand", "problem", box=None, pad_edge=False)
    for one in found:
        problem = f"[red]{escape(one['problem'])}[/]" if one["problem"] else ""
        customer = escape(one["customer_id"] or "")
        table.add_row(one["tenant_id"], one["plan"], one["status"], customer, one["errand"], problem)
    return table


def _show(answer: Document) -> None:
    """One line for what did not agree, and one for the sum."""
    if "counts" in answer:
        told = (f"{count} {result}" for result, count in answer["counts"].items())
        console.print(", ".join(told) or "no tenants")
    elif answer["result"] != "agrees":
        whose = [answer["tenant_id"] or "no tenant", *filter(None, [answer["customer_id"]])]
        what = [answer["result"], *answer["findings"], *filter(None, [answer["error"]])]
        console.print(f"{escape(' '.join(whose))}: {escape(' '.join(what))}", soft_wrap=True)
