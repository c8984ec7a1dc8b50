"""`penguinmails keys …`: the keys that sign access tokens, and those that encrypt secrets at rest."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from penguinmails import display
from penguinmails.credentials import SEALING
from penguinmails.display import console
from penguinmails.services import ask, by, follow
from penguinmails.stack import Stack
from penguinmails.terminal import escape

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def keys_app(running: Callable[[], Stack]) -> typer.Typer:
    """The sub-commands, on the stack that `running` finds."""
    app = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens, and that encrypt secrets.")

    @app.command("list")
    def list_keys(as_json: AsJson = False) -> None:
        """All keys that sign access tokens, oldest first."""
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

    _add_sealing(app, running)
    _ = (list_keys, rotate)
    return app


def _add_sealing(app: typer.Typer, running: Callable[[], Stack]) -> None:
    @app.command()
    def sealed(as_json: AsJson = False) -> None:
        """How many secrets at rest each encryption key has sealed."""
        found = ask(running(), SEALING, "secrets", "list")
        if as_json:
            display.machine_readable(found)
            return
        table = Table("service", "secrets", "key", "", "count", box=None, pad_edge=False)
        for one in found:
            table.add_row(one["service"], one["kind"], one["sealed_with"], one["key"], str(one["count"]))
        console.print(table)

    @app.command()
    def reseal() -> None:
        """Seal with the current encryption key what older ones have sealed, while everything runs; status 1
        when something does not open, after all the rest."""
        stack = running()
        done = [_reseal(stack, service) for service in SEALING]
        if not all(done):
            raise typer.Exit(1)

    _ = (sealed, reseal)


def _reseal(stack: Stack, service: str) -> bool:
    """Whether everything of the service opened."""
    try:
        for told in follow(stack, service, "secrets", "reseal", *by()):
            console.print(f"{service} {told['kind']}: {told['resealed']} sealed again.")
            for why in told["unreadable"]:
                console.print(f"[red]{escape(why)}[/]")
    except typer.Exit:
        return False
    return True


def _to_the_second(time: str | None) -> str:
    return "" if time is None else time[:19].replace("T", " ")
