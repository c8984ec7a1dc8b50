"""What the command prints."""

import json
import sys
from typing import Any

from rich.console import Console

from penguinmails import plan
from penguinmails.config import Broker
from penguinmails.ports import GATEWAY_PORT
from penguinmails.stack import Stack, StackFailed
from penguinmails.terminal import escape, typed

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

STAGES = {
    "database files made": "prepare",
    "broker's log made": "prepare",
    **dict.fromkeys(plan.INFRASTRUCTURE, "infrastructure"),
    "migrations": "migrate",
    "envoy": "gateway",
}


def step(name: str, seconds: float) -> None:
    stage = STAGES.get(name, "services")
    console.print(f"  [green]✓[/] [dim]{stage:<15}[/]{name:<22}[dim]{seconds:6.2f} s[/]")


def failure(stack: Stack, failed: StackFailed) -> None:
    console.print(f"[red]The stack did not start: {escape(str(failed))}.[/]")
    for name in failed.processes:
        console.print(f"\n{stack.last_lines(name)}", markup=False, soft_wrap=True)
    console.print(typed("\n`penguinmails doctor` may know why."))


def ports_taken(stack: Stack) -> None:
    wanted, got = stack.port or GATEWAY_PORT, stack.config.ports["gateway"]
    if got != wanted:
        console.print(f"[yellow]Port {wanted} is not used: the gateway listens on {got}.[/]")


BROKERS = {
    Broker.TANSU: "Tansu with its log in memory for Apache Kafka",
    Broker.APACHE: "one node of Apache Kafka, without replicas",
}


def stand_ins(stack: Stack) -> None:
    told = (
        f"\n[yellow]Not as in production:[/] {BROKERS[stack.config.broker]} · localstripe for "
        "Stripe · mails are caught, not sent (`penguinmails mail list`) · traces go to a file "
        "(`penguinmails trace ID`) · no TLS"
    )
    console.print(typed(told))


def machine_readable(facts: dict[str, Any] | list[dict[str, Any]]) -> None:
    print(json.dumps(facts, indent=2))


def compact(document: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(document, ensure_ascii=False)


def plain(line: str) -> None:
    """For what is copied and pasted: never wrapped, never coloured."""
    print(line, flush=True)
