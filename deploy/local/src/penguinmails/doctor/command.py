"""`penguinmails doctor`: every check, and what came of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
import httpx
import typer

from penguinmails import display
from penguinmails.display import console
from penguinmails.doctor import belongings, machine, running
from penguinmails.doctor.problems import Level, Problem
from penguinmails.stack import Stack
from penguinmails.terminal import escape, typed

Findings = dict[str, list[Problem]]
"""By the name of the check."""

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def examine(stack: Stack) -> Findings:
    """Every check that can be made: those of a running stack only when it runs."""
    home, findings = stack.home, Findings()
    resting: dict[str, Iterator[Problem]] = {
        "python": machine.python(),
        "programs": machine.programs(),
        "server account": machine.server_account(home.postgres_data),
        "disk": machine.disk(home.root),
        "shared memory": machine.shared_memory(),
        "state folder": belongings.folder(home),
        "database files": belongings.data(home),
        "keys": belongings.keys(home),
        "remains": belongings.remains(home),
        "ports": belongings.taken_ports(home, stack.port),
        "demo tenant": belongings.demo_login(home),
        "other stacks": belongings.other_stacks(home),
    }
    if not stack.is_running():
        resting["memory"] = machine.memory()
    for name, check in resting.items():
        findings[name] = list(check)
    return findings | (asyncio.run(_examine_running(stack)) if stack.is_running() else {})


async def _examine_running(stack: Stack) -> Findings:
    config = stack.config
    checks: dict[str, AsyncIterator[Problem]] = {
        "readiness": running.readiness(config, stack.state),
        "clocks": running.clocks(config.superuser_dsn, config.url("gateway")),
        "schemas": running.schemas(config.databases()),
        "secrets": running.all_secrets(config),
    }
    return {name: await collect(check) for name, check in checks.items()}


async def collect(check: AsyncIterator[Problem]) -> list[Problem]:
    try:
        return [problem async for problem in check]
    except (OSError, TimeoutError, httpx.HTTPError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        what = f"this could not be looked at: {type(error).__name__} {error}".strip()
        return [Problem(what, "penguinmails status")]


def doctor(stack: Stack, as_json: bool) -> None:
    """Show what is wrong and how to mend it; exits with status 1 when something is."""
    findings = examine(stack)
    problems = [problem for found in findings.values() for problem in found]
    if as_json:
        display.machine_readable(_document(stack, findings))
    else:
        _show(stack, findings)
    if any(problem.level is Level.ERROR for problem in problems):
        raise typer.Exit(1)


def _document(stack: Stack, findings: Findings) -> dict[str, Any]:
    return {
        "running": stack.is_running(),
        "checks": list(findings),
        "problems": [
            {"check": name, **asdict(problem)} for name, found in findings.items() for problem in found
        ],
    }


def _show(stack: Stack, findings: Findings) -> None:
    good = [name for name, found in findings.items() if not found]
    console.print(f"[green]✓[/] {', '.join(good)}")
    for name, found in findings.items():
        for problem in found:
            mark = "[red]✗[/]" if problem.level is Level.ERROR else "[yellow]![/]"
            console.print(f"{mark} [bold]{name}[/]: {escape(problem.what)}", soft_wrap=True)
            console.print(f"    [dim]mend:[/] {escape(typed(problem.mend))}", soft_wrap=True)
    if not stack.is_running():
        console.print(
            "[dim]The stack is not running: readiness, clocks, schemas and secrets were not looked at.[/]"
        )
    if len(good) == len(findings):
        console.print("Nothing to mend.")
