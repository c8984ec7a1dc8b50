"""What the command prints."""

import json
import sys
import time
from typing import Any

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penguinmails import plan
from penguinmails.config import Broker
from penguinmails.ports import GATEWAY_PORT
from penguinmails.stack import Stack, StackFailed
from penguinmails.state import Process, Status

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

STAGES = {
    "database files made": "prepare",
    "broker's log made": "prepare",
    **dict.fromkeys(plan.INFRASTRUCTURE, "infrastructure"),
    "migrations": "migrate",
    "envoy": "gateway",
}

COLOURS = {Status.READY: "green", Status.DONE: "green", Status.FAILED: "red", Status.BACKING_OFF: "red"}


def step(name: str, seconds: float) -> None:
    stage = STAGES.get(name, "services")
    console.print(f"  [green]✓[/] [dim]{stage:<15}[/]{name:<22}[dim]{seconds:6.2f} s[/]")


def failure(stack: Stack, failed: StackFailed) -> None:
    console.print(f"[red]The stack did not start: {escape(str(failed))}.[/]")
    for name in failed.processes:
        console.print(f"\n{stack.last_lines(name)}", markup=False, soft_wrap=True)


def ports_taken(stack: Stack) -> None:
    wanted, got = stack.port or GATEWAY_PORT, stack.config.ports["gateway"]
    if got != wanted:
        console.print(f"[yellow]Port {wanted} is not used: the gateway listens on {got}.[/]")


def processes(stack: Stack) -> None:
    table = Table(
        "process", "status", "pid", "restarts", "up for", "memory", "address", box=None, pad_edge=False
    )
    config, current = stack.config, stack.state
    total = 0
    for name, process in current.processes.items():
        if process.status is Status.DONE:
            continue
        memory = _memory(process.pid)
        total += memory
        table.add_row(*_row(name, process), _megabytes(memory), plan.address(config, name))
    memory = _own_memory(current.supervisor_pid)
    uptime = _duration(time.time() - current.started_at)
    pid = str(current.supervisor_pid)
    table.add_row("supervisor", "[green]ready[/]", pid, "", uptime, _megabytes(memory), "")
    table.add_row("[dim]in all[/]", "", "", "", "", _megabytes(total + memory), "")
    console.print(table)


def _row(name: str, process: Process) -> tuple[str, ...]:
    colour = COLOURS.get(process.status, "yellow")
    uptime = _duration(time.time() - process.started_at) if process.pid else ""
    status = f"[{colour}]{process.status}[/]"
    return name, status, str(process.pid or ""), str(process.restarts or ""), uptime


def _memory(pid: int | None) -> int:
    """Bytes used by the process and its children."""
    if pid is None:
        return 0
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0
    return _own_memory(pid) + sum(_own_memory(child.pid) for child in children)


def _own_memory(pid: int) -> int:
    """A page shared by n processes counts as 1/n of a page, where the system tells."""
    try:
        full: Any = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    return getattr(full, "pss", full.uss)


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


BROKERS = {
    Broker.TANSU: "Tansu with its log in memory for Apache Kafka",
    Broker.APACHE: "one node of Apache Kafka, without replicas",
}


def stand_ins(stack: Stack) -> None:
    console.print(
        f"\n[yellow]Not as in production:[/] {BROKERS[stack.config.broker]} · localstripe for "
        "Stripe · mails are caught, not sent (`penguinmails mail list`) · traces go to a file "
        "(`penguinmails trace ID`) · no TLS"
    )


def machine_readable(facts: dict[str, Any] | list[dict[str, Any]]) -> None:
    print(json.dumps(facts, indent=2))


def plain(line: str) -> None:
    """For what is copied and pasted: never wrapped, never coloured."""
    print(line, flush=True)
