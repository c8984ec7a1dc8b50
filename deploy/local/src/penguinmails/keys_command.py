"""`penguinmails keys …`: the keys that sign access tokens."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from penguinmails import display
from penguinmails.display import console
from penguinmails.services import ask, by
from penguinmails.stack import Stack

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def keys_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens.")

    @app.command("list")
    def list_keys(as_json: AsJson = False) -> None:
        """All keys, oldest first."""
        found = ask(running(), ["auth"], "keys", "list", *by())
        if as_json:
            display.machine_readable(found)
            return
        names = ("kid", "status", "published_at", "signs_from", "retired_at")
        table = Table(*(name.replace("_", " ") for name in names), box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        for key in found:
            table.add_row(key["kid"], key["status"], *(_to_the_second(key[name]) for name in names[2:]))
        console.print(table)

    @app.command()
    def rotate(
        leaked: Annotated[
            bool, typer.Option("--leaked", help="At once; all access tokens end, sessions go on.")
        ] = False,
    ) -> None:
        """Publish a new key; it signs as soon as everybody has it, and the old one verifies until then."""
        (made,) = ask(running(), ["auth"], "keys", "rotate", *(["--leaked"] if leaked else []), *by())
        console.print(
            f"[green]{made['kid']}[/] is {made['status']}; it signs from "
            f"{_to_the_second(made['signs_from'])} UTC on."
        )

    _ = (list_keys, rotate)
    return app


def _to_the_second(time: str | None) -> str:
    return "" if time is None else time[:19].replace("T", " ")
