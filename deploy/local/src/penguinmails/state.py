"""What the supervisor tells others: one small file, replaced as a whole on every change."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from penguinmails import files
from penguinmails.home import Home


class Status(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass
class Process:
    status: Status = Status.WAITING
    pid: int | None = None
    start: str = ""
    """With the pid it names the process for good, see `identity`."""
    restarts: int = 0
    started_at: float = 0.0
    ready_after: float | None = None
    """Seconds from its (last) start until it was ready."""
    exit_status: int | None = None


@dataclass
class State:
    supervisor_pid: int
    supervisor_start: str
    started_at: float
    processes: dict[str, Process] = field(default_factory=dict[str, Process])

    def is_ready(self) -> bool:
        return all(process.status in {Status.READY, Status.DONE} for process in self.processes.values())

    def failed(self) -> list[str]:
        """Processes that will not come up: a task that failed, or five ends before ever being ready."""
        return [
            name
            for name, process in self.processes.items()
            if process.status is Status.FAILED or (process.restarts >= 5 and process.ready_after is None)
        ]


def write(home: Home, state: State) -> None:
    files.write_atomically(home.state, json.dumps(asdict(state), indent=1))


def read(home: Home) -> State | None:
    """None before the first start."""
    try:
        stored = json.loads(home.state.read_text())
    except FileNotFoundError:
        return None
    processes = {name: _process(fields) for name, fields in stored.pop("processes").items()}
    return State(**stored, processes=processes)


def _process(fields: dict[str, object]) -> Process:
    process = Process(**fields)  # type: ignore[arg-type]
    process.status = Status(process.status)
    return process


def is_running(home: Home) -> bool:
    return files.is_locked(home.supervisor_lock)
