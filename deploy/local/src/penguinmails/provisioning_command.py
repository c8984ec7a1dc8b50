"""`penguinmails provisioning …`: sign-ups that are stuck, why, and on with them."""

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

ANSWERING = {"owner_account": "auth", "default_workspace": "workspaces"}
"""Steps that other services do when they hear of the tenant."""
PART_TAKERS = ("tenants", "auth", "workspaces")
"""Services whose dead letters can hold up a sign-up."""

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def provisioning_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Sign-ups that are not finished: find, explain, resume.")

    @app.command("list")
    def list_sign_ups(
        stuck: Annotated[bool, typer.Option("--stuck", help="Only what somebody should look at.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Unfinished sign-ups, oldest first."""
        words = ["provisioning", "list", *(["--stuck"] if stuck else [])]
        found = ask(running(), ["tenants"], *words, *by())
        display.machine_readable(found) if as_json else console.print(_list_table(found))

    @app.command()
    def show(tenant: Tenant, as_json: AsJson = False) -> None:
        """One sign-up: each step, what holds it, and dead letters in its way."""
        stack = running()
        (sign_up,) = ask(stack, ["tenants"], "provisioning", "show", tenant)
        found = {**sign_up, "dead_letters": _letters_of(stack, tenant)}
        display.machine_readable(found) if as_json else _explain(found)

    @app.command()
    def resume(tenant: Tenant) -> None:
        """Have dead letters handled again, unfinished steps tried now, and missed events read again."""
        stack = running()
        for letter in _letters_of(stack, tenant):
            words = ("events", "dlq", "retry", letter["event_id"], "--if-there", *by())
            for outcome in ask(stack, [letter["service"]], *words):
                console.print(JSON.from_data(outcome))
        words = ("provisioning", "resume", tenant, *by())
        (done,) = ask(stack, ["tenants"], *words)
        _read_again(stack, done["resumed"], done["started_at"])
        console.print(f"Resumed: {', '.join(done['resumed']) or 'nothing, every step is done'}.")

    _ = (list_sign_ups, show, resume)
    return app


def _read_again(stack: Stack, steps: list[str], since: str) -> None:
    """Replay for who owes the sign-up an answer, then for the tenants service, which may have missed it."""
    owing = [service for step, service in ANSWERING.items() if step in steps]
    for service in [*owing, *(["tenants"] if owing else [])]:
        words = ("events", "replay", "--consumer", service, "--from", since)
        console.print(JSON.from_data(ask(stack, [service], *words)))


def _letters_of(stack: Stack, tenant: str) -> list[Document]:
    """Dead letters of the tenant, without those that only wait behind them."""
    found = ask(stack, PART_TAKERS, "events", "dlq", "list", *by())
    return [letter for letter in found if letter["tenant_id"] == tenant and not letter["waiting"]]


def _list_table(found: list[Document]) -> Table:
    table = Table("tenant", "since", "status", "stuck", "unfinished", box=None, pad_edge=False)
    for sign_up in found:
        unfinished = [step["name"] for step in sign_up["steps"] if step["status"] != "done"]
        stuck = "[red]stuck[/]" if sign_up["stuck"] else ""
        names = ", ".join(unfinished)
        table.add_row(sign_up["tenant_id"], sign_up["started_at"], sign_up["status"], stuck, names)
    return table


def _explain(found: Document) -> None:
    table = Table("step", "status", "attempts", "error", "next try", "", box=None, pad_edge=False)
    for step in found["steps"]:
        cells = (step["attempts"], step["error"] or "", step["next_attempt_at"] or "")
        told = (escape(str(cell)) for cell in (*cells, step["explanation"] or ""))
        table.add_row(step["name"], step["status"], *told)
    console.print(table)
    for letter in found["dead_letters"]:
        told = f"{letter['service']} {letter['event_id']} {letter['type']}: {letter['reason']}"
        console.print(f"[red]dead letter[/] {escape(told)}")
