"""`penguinmails logs`."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from penguinmails import display, logs
from penguinmails.display import console
from penguinmails.home import Home, default_home

Service = Annotated[str | None, typer.Argument(help="One process; all when left out.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on showing new lines.")]
Lines = Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines to begin with.")]
Since = Annotated[str | None, typer.Option(help="90s, 5m, 2h, 1d, or 2026-01-31T12:00:00Z.")]
Level = Annotated[str, typer.Option(help=f"At least this bad: {', '.join(logs.LEVELS)}.")]
Grep = Annotated[str | None, typer.Option(help="A regular expression that the line must match.")]
Tenant = Annotated[str | None, typer.Option(help="Lines that name the tenant: tenant_….")]
Trace = Annotated[str | None, typer.Option(help="Lines of this trace; its beginning is enough.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document a line.")]


def show(
    service: Service = None,
    follow: Follow = False,
    lines: Lines = 100,
    since: Since = None,
    level: Level = "debug",
    grep: Grep = None,
    tenant: Tenant = None,
    trace: Trace = None,
    as_json: AsJson = False,
) -> None:
    """Show the processes' logs, merged by time."""
    found = _logs(default_home(), service, older=since is not None)
    wanted = logs.Filter(_since(since), _level(level), _pattern(grep), _words(tenant, trace))
    for line in logs.last(found, wanted, lines):
        _print(line, as_json)
    try:
        for line in logs.follow(found, wanted) if follow else ():
            _print(line, as_json)
    except KeyboardInterrupt as stop:
        raise typer.Exit(0) from stop


def _logs(home: Home, service: str | None, older: bool) -> list[logs.Log]:
    paths = sorted(home.logs.glob(f"{service or '*'}.log"))
    if not paths:
        known = ", ".join(sorted(path.stem for path in home.logs.glob("*.log"))) or "none yet"
        console.print(f"[red]No such log.[/] There are: {known}")
        raise typer.Exit(1)
    old = [path.with_suffix(".log.1") for path in paths] if older else []
    return [logs.Log(path) for path in (*old, *paths)]


def _since(text: str | None) -> datetime | None:
    try:
        return None if text is None else logs.read_since(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no time: 90s, 5m, 2h, 1d, 2026-01-31T12:00:00Z") from error


def _level(text: str) -> str:
    if text.lower() not in logs.LEVELS:
        raise typer.BadParameter(f"{text} is no level: {', '.join(logs.LEVELS)}")
    return text.lower()


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise typer.BadParameter(f"{text} is no regular expression: {error}") from error


def _words(tenant: str | None, trace: str | None) -> tuple[str, ...]:
    named = f'"trace_id": "{trace.lower()}' if trace else None
    return tuple(word for word in (tenant, named) if word)


def _print(line: logs.Line, as_json: bool) -> None:
    if as_json:
        display.plain(display.compact(logs.document(line)))
    else:
        console.print(logs.pretty(line), soft_wrap=True)
