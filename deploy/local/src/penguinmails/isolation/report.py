"""The report for people."""

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from penguinmails.isolation.findings import FAMILIES, Broken, Outcome, Report, milliseconds
from penguinmails.terminal import escape

VERDICTS = {
    Outcome.HELD: "[bold green]Everything held.[/]",
    Outcome.BROKE: "[bold red]ISOLATION BROKE.[/]",
    Outcome.NOT_DONE: "[bold yellow]The check could not be carried out in full.[/]",
}
SHOWN = 25


def show(console: Console, report: Report) -> None:
    if report.families:
        console.print(_families(report))
    for broken in report.broken[:SHOWN]:
        console.print(_broken(broken))
    if len(report.broken) > SHOWN:
        console.print(f"… and {len(report.broken) - SHOWN} more; --json has them all.")
    _operations(console, report)
    _timing(console, report)
    for left in report.remains:
        console.print(f"[yellow]Remains:[/] {escape(left)}")
    if report.stopped:
        console.print(f"[red]Stopped:[/] {escape(report.stopped)}")
    console.print(VERDICTS[report.outcome])


def _families(report: Report) -> Table:
    table = Table("family", "what was tried", box=None, pad_edge=False)
    for column in ("tried", "held", "broke"):
        table.add_column(column, justify="right")
    for name in (name for name in FAMILIES if name in report.families):
        family = report.families[name]
        colour = "red" if family.broke else "green"
        numbers = (str(family.tried), str(family.held), f"[{colour}]{family.broke}[/]")
        table.add_row(name, FAMILIES[name], *numbers)
    return table


def _broken(broken: Broken) -> Group:
    head = Text.from_markup(
        f"\n[bold red]✗ {broken.family}[/] {escape(broken.operation)}: {escape(broken.what)}"
    )
    reasons = [Text(f"  {reason}", style="red") for reason in broken.why]
    return Group(head, *reasons, Text(f"  {broken.curl}"), Text(f"  → {broken.answered}", style="dim"))


def _operations(console: Console, report: Report) -> None:
    tried = [account for account in report.accounts.values() if not account.not_tried and not account.reason]
    console.print(
        f"\n{len(tried)} of {len(report.accounts)} operations tried with {report.requests} requests in "
        f"{report.seconds:.0f} s; {report.answers_searched} answers to A searched for anything of B's."
    )
    for account in report.accounts.values():
        if account.not_tried:
            console.print(f"[yellow]NOT TRIED[/] {account.operation}: {escape(account.reason)}")
        elif account.reason:
            console.print(f"[dim]left out {account.operation}: {escape(account.reason)}[/]")


def _timing(console: Console, report: Report) -> None:
    foreign, never = milliseconds(report.foreign_seconds), milliseconds(report.never_seconds)
    if foreign is not None:
        console.print(f"Median time, not judged: {foreign} ms for B's identifiers, {never} ms for nobody's.")
