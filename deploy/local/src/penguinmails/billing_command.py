"""`penguinmails billing …`: what differs between the tenants' billing and Stripe, shown to people."""

import json
from collections.abc import Callable
from typing import Annotated

import typer

from penguinmails import display
from penguinmails.display import console
from penguinmails.services import Document, follow
from penguinmails.stack import Stack
from penguinmails.terminal import escape


def billing_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Billing, compared with Stripe.")

    @app.callback()
    def group() -> None:
        """Billing, compared with Stripe."""

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

    _ = (group, reconcile)
    return app


def _show(answer: Document) -> None:
    """One line for what did not agree, and one for the sum."""
    if "counts" in answer:
        told = (f"{count} {result}" for result, count in answer["counts"].items())
        console.print(", ".join(told) or "no tenants")
    elif answer["result"] != "agrees":
        whose = [answer["tenant_id"] or "no tenant", *filter(None, [answer["customer_id"]])]
        what = [answer["result"], *answer["findings"], *filter(None, [answer["error"]])]
        console.print(f"{escape(' '.join(whose))}: {escape(' '.join(what))}", soft_wrap=True)
