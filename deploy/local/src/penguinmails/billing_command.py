"""`penguinmails billing …`: the tenants service's own operator command, on the running stack."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from penguinmails.stack import Stack


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
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
    ) -> None:
        """Compare every tenant's billing with Stripe and mend what differs; status 1 when some failed."""
        words = [
            *(["--tenant", tenant] if tenant else []),
            *(["--dry-run"] if dry_run else []),
            *(["--json"] if as_json else []),
        ]
        environment = {**os.environ, **running().config.service_environment("tenants")}
        command = [sys.executable, "-m", "tenants", "billing", "reconcile", *words]
        raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)

    _ = (group, reconcile)
    return app
