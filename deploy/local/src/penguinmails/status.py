"""What `penguinmails status` tells of each process and of the events of each service."""

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil
from rich.table import Table

from penguinmails import plan, versions
from penguinmails.credentials import SERVICES
from penguinmails.stack import Stack
from penguinmails.state import Process, Status

_COLOURS = {Status.READY: "green", Status.DONE: "green", Status.FAILED: "red", Status.BACKING_OFF: "red"}
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One process. `memory`: bytes, its children included; a page that n share counts as 1/n where the
    system tells."""

    name: str
    status: Status
    version: str
    pid: int | None
    restarts: int
    uptime_seconds: float | None
    memory: int
    address: str


def rows(stack: Stack) -> list[Row]:
    """Every process of the stack, the supervisor last."""
    config, told = stack.config, stack.state
    found = [
        _row(name, process, plan.address(config, name), versions.of(name, config.broker))
        for name, process in told.processes.items()
        if process.status is not Status.DONE
    ]
    supervisor = Process(Status.READY, told.supervisor_pid, started_at=told.started_at)
    own = _row("supervisor", supervisor, "", versions.of("supervisor"))
    return [*found, own]


def _row(name: str, process: Process, address: str, version: str) -> Row:
    uptime = round(time.time() - process.started_at, 1) if process.pid else None
    memory = _memory(process.pid, alone=name == "supervisor")
    return Row(name, process.status, version, process.pid, process.restarts, uptime, memory, address)


def _memory(pid: int | None, alone: bool) -> int:
    if pid is None:
        return 0
    try:
        children = [] if alone else psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0
    return _own_memory(pid) + sum(_own_memory(child.pid) for child in children)


def _own_memory(pid: int) -> int:
    try:
        full: Any = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    return getattr(full, "pss", full.uss)


def document(stack: Stack, found: list[Row]) -> dict[str, Any]:
    """All of it, fit for JSON. A service whose database or broker does not answer has no `events`; with a
    consumer that had to stop the stack serves, and is not ready."""
    events = asyncio.run(_events(stack))
    processes = [asdict(row) for row in found]
    for process in processes:
        if process["name"] in SERVICES:
            process["events"] = events[process["name"]]
    stopped = any(
        consumer["stopped_at"] for told in events.values() if told for consumer in told["consumers"]
    )
    return {"ready": stack.state.is_ready() and not stopped, "processes": processes}


async def _events(stack: Stack) -> dict[str, dict[str, Any] | None]:
    found = await asyncio.gather(*(_measure(stack, service) for service in SERVICES))
    return dict(zip(SERVICES, found, strict=True))


async def _measure(stack: Stack, service: str) -> dict[str, Any] | None:
    # Imported here: the Kafka client is slow to load, and most of our commands need none.
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from common.bus import lag  # noqa: PLC0415
    from common.db.errors import DRIVER_ERRORS  # noqa: PLC0415
    from common.settings import ServiceSettings  # noqa: PLC0415

    environment = stack.config.service_environment(service)
    settings = ServiceSettings.model_validate({name.lower(): value for name, value in environment.items()})
    try:
        async with asyncio.timeout(_PATIENCE):
            return await lag.measure(service, settings)
    except (OSError, TimeoutError, KafkaError, *DRIVER_ERRORS):
        return None


def table(found: list[Row]) -> Table:
    """The processes."""
    shown = Table(
        *("process", "status", "version", "pid", "restarts", "up for", "memory", "address"),
        box=None,
        pad_edge=False,
    )
    for row in found:
        colour = _COLOURS.get(row.status, "yellow")
        cells = (row.version, str(row.pid or ""), str(row.restarts or ""), _duration(row.uptime_seconds))
        status = f"[{colour}]{row.status}[/]"
        shown.add_row(row.name, status, *cells, _megabytes(row.memory), row.address)
    total = sum(row.memory for row in found)
    shown.add_row("[dim]in all[/]", "", "", "", "", "", _megabytes(total), "")
    return shown


def events_table(processes: list[dict[str, Any]]) -> Table:
    """How far the events of each service are."""
    shown = Table(
        *("service", "outbox", "oldest", "parked", "to handle", "behind", "dead letters", ""),
        box=None,
        pad_edge=False,
    )
    for process in processes:
        if "events" in process:
            shown.add_row(process["name"], *_event_cells(process["events"]))
    return shown


def _event_cells(events: dict[str, Any] | None) -> list[str]:
    if events is None:
        return ["[red]unknown[/]"]
    outbox, consumers = events["outbox"], events["consumers"]
    oldest = "" if outbox["oldest_seconds"] is None else f"{outbox['oldest_seconds']:.1f} s"
    stopped = [consumer["consumer"] for consumer in consumers if consumer["stopped_at"]]
    return [
        str(outbox["rows"]),
        oldest,
        str(outbox["parked"]),
        str(sum(consumer["records"] for consumer in consumers)),
        f"{max((consumer['seconds'] for consumer in consumers), default=0):.1f} s",
        str(sum(consumer["dead_letters"] for consumer in consumers)),
        f"[red]stopped: {', '.join(stopped)}[/]" if stopped else "",
    ]


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
