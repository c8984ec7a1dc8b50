"""`penguinmails isolation …`."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from penguinmails.display import console, machine_readable
from penguinmails.home import default_home
from penguinmails.isolation import check, report
from penguinmails.isolation.findings import Outcome
from penguinmails.stack import Stack
from penguinmails.terminal import escape

app = typer.Typer(no_args_is_help=True, help="Whether tenants are kept apart.")

_PLAN = (
    "Signs up two throw-away tenants (plan {plan}) at {url}, makes one of everything in both, attacks one "
    "as the other, and removes what can be removed. Mails go to addresses under .example, which nobody has."
)


@app.callback()
def isolation() -> None:
    """Whether tenants are kept apart."""


@app.command(name="check")
def check_isolation(
    against: Annotated[str, typer.Option(metavar="URL", help="A gateway; else the local stack's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON document.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for all attacks together.")] = 600,
    audit_wait: Annotated[float, typer.Option(min=0, help="Seconds for attempts to be audited.")] = 30,
    plan: Annotated[str, typer.Option(help="Plan of the two tenants.")] = "enterprise",
    only: Annotated[
        list[str] | None, typer.Option(metavar="OPERATION", help="Attack only its path; can be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Attack an installation from outside; status 0: all held, 1: something broke, 2: not carried out."""
    errors = Console(stderr=True, highlight=False)
    url = _gateway(against, errors)
    errors.print(_PLAN.format(plan=escape(plan), url=escape(url)))
    if dry_run:
        return
    options = check.Options(url, plan, timeout, audit_wait, frozenset(only or ()))
    if errors.is_terminal:
        with errors.status("starting") as status:
            result = check.run(options, lambda text: status.update(escape(text)))
    else:
        result = check.run(options, _new_lines(errors))
    if as_json:
        machine_readable(result.as_json())
    else:
        report.show(console, result)
    raise typer.Exit(int(result.outcome))


def _gateway(against: str, errors: Console) -> str:
    """The address without what `/api/v1/…` is appended to."""
    if against:
        url = against.rstrip("/").removesuffix("/api/v1")
        if url.startswith(("http://", "https://")):
            return url
        errors.print(f"[red]{escape(against)} is no address:[/] it begins with http:// or https://.")
        raise typer.Exit(Outcome.NOT_DONE)
    stack = Stack(default_home())
    if not stack.is_running():
        errors.print(
            "[red]The local stack is not running.[/] Start it with `make up`, or give --against URL."
        )
        raise typer.Exit(Outcome.NOT_DONE)
    return stack.config.url("gateway")


def _new_lines(errors: Console) -> Callable[[str], None]:
    """Progress for a log: a line for each thing, numbers left out."""
    last: list[str] = []

    def show(text: str) -> None:
        topic = text.partition(":")[0]
        if last[-1:] != [topic]:
            last.append(topic)
            errors.print(f"[dim]· {escape(topic)}[/]")

    return show
