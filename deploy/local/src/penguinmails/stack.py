"""The local stack as an object, for the command `penguinmails` and for test fixtures.

stack = Stack(tmp_path)
stack.up()
try:
    httpx.get(stack.env()["gateway"] + "/.well-known/jwks.json")
finally:
    stack.down()
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penguinmails import apache_kafka, config, files, gateway, identity, ports, postgres, state
from penguinmails.config import Broker, Config
from penguinmails.credentials import SERVICES
from penguinmails.home import Home
from penguinmails.state import State, Status

START_PATIENCE = 90.0

Progress = Callable[[str, float], None]
"""Called with a step that has been done and the seconds it took."""


class StackFailed(Exception):
    """The stack did not become ready."""

    def __init__(self, message: str, processes: list[str]) -> None:
        super().__init__(message)
        self.processes = processes


def _silent(_step: str, _seconds: float) -> None:
    return None


class Stack:
    def __init__(
        self,
        home: Path | Home,
        port: int | None = None,
        overrides: Mapping[str, str] | None = None,
        attached: bool = False,
        broker: Broker = Broker.TANSU,
    ) -> None:
        """`port` of the gateway is where the search for a free one begins; `overrides` are environment
        variables for all services; an attached stack stops when this process is gone."""
        self.home = home if isinstance(home, Home) else Home(home.resolve())
        self.port = port
        self.overrides = dict(overrides or {})
        self.attached = attached
        self.broker = broker

    @property
    def config(self) -> Config:
        return config.load(self.home)

    @property
    def state(self) -> State:
        """Raises StackFailed before the first start."""
        found = state.read(self.home)
        if found is None:
            raise StackFailed("this stack was never started: `penguinmails up`", [])
        return found

    def is_running(self) -> bool:
        return state.is_running(self.home)

    def up(self, progress: Progress = _silent, patience: float = START_PATIENCE) -> bool:
        """Start and wait until everything is ready; False when it was running already."""
        self.home.make()
        with files.locked(self.home.up_lock), ports.Claims() as claims:
            if self.is_running():
                return False
            self._sweep()
            self._set_old_logs_aside()
            self._prepare(progress, claims)
            self._start_supervisor()
            try:
                self._await_ready(progress, time.monotonic() + patience)
            except StackFailed as failure:
                self.down()
                for name in failure.processes:
                    failure.add_note(self.last_lines(name))
                raise
        return True

    def down(self) -> bool:
        """Stop everything, keep the data; False when nothing was running."""
        running = self.is_running()
        if running:
            supervisor = self.state
            pid, start = supervisor.supervisor_pid, supervisor.supervisor_start
            identity.end(pid, start, signal.SIGTERM, patience=40)
        self._sweep()
        return running

    def erase(self) -> None:
        """Stop and forget everything, keys included."""
        self.down()
        if self.home.root.exists():
            shutil.rmtree(self.home.root)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal a process of the stack (`supervisor` too); its pid. After SIGKILL it is gone."""
        pid = self.pids()[name][0]
        start = identity.started(pid) or ""
        os.kill(pid, number)
        while number is signal.SIGKILL and identity.is_alive(pid, start):
            time.sleep(0.001)
        return pid

    def wait_ready(self, name: str, other_than: int | None = None, patience: float = 30) -> int:
        """Until the process is ready (with another pid than `other_than`, after a kill); its pid.

        What the supervisor told of a process that died since does not count.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            process = self.state.processes[name]
            lives = process.pid and identity.is_alive(process.pid, process.start)
            if process.pid and lives and process.status is Status.READY and process.pid != other_than:
                return process.pid
            time.sleep(0.02)
        raise StackFailed(f"{name} is not ready after {patience:.0f} s", [name])

    def last_lines(self, name: str, most: int = 25) -> str:
        """The end of a process's log, with a heading."""
        log = self.home.log(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"Last lines of {log}:", *(lines[-most:] or ["(empty)"])])

    def pids(self) -> dict[str, list[int]]:
        if not self.is_running():
            return {}
        told = self.state
        pids = {name: [process.pid] if process.pid else [] for name, process in told.processes.items()}
        pids.pop("migrations", None)
        return {**pids, "supervisor": [told.supervisor_pid]}

    def env(self) -> dict[str, Any]:
        """What a client or a test needs to know, in the shape of `penguinmails env --json`."""
        settings = self.config
        return {
            "gateway": settings.url("gateway"),
            "kafka": settings.kafka,
            "mail_dir": str(self.home.mail),
            "stripe": settings.url("stripe"),
            "traces": str(self.home.traces),
            "metrics": f"{settings.url('collector')}/metrics",
            "postgres": {"superuser": settings.superuser_dsn, **settings.databases()},
            "services": {service: settings.url(service) for service in SERVICES},
            "pids": self.pids(),
        }

    def _prepare(self, progress: Progress, claims: ports.Claims) -> None:
        began = time.monotonic()
        settings = config.prepare(self.home, self.port, self.overrides, self.broker, claims.take)
        gateway.write(settings)
        if postgres.make_cluster(self.home.postgres_data, settings.credentials.passwords["postgres"]):
            progress("database files made", time.monotonic() - began)
        began = time.monotonic()
        if self.broker is Broker.APACHE and apache_kafka.make_log(self.home, settings.ports):
            progress("broker's log made", time.monotonic() - began)

    def _start_supervisor(self) -> None:
        self.home.state.unlink(missing_ok=True)
        with self.home.log("supervisor").open("ab") as log:
            command = [sys.executable, "-m", "penguinmails.supervisor", str(self.home.root)]
            me = os.getpid()
            subprocess.run(
                [*command, str(me), identity.started(me) or ""] if self.attached else command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home.root,
                start_new_session=True,
                check=True,
            )

    def _await_ready(self, progress: Progress, deadline: float) -> None:
        told: set[str] = set()
        while True:
            current = state.read(self.home)
            if current:
                self._tell(current, told, progress)
                if current.is_ready():
                    return
            self._give_up_when_hopeless(current, time.monotonic() > deadline)
            time.sleep(0.03)

    def _tell(self, current: State, told: set[str], progress: Progress) -> None:
        for name, process in current.processes.items():
            if process.ready_after is not None and name not in told:
                told.add(name)
                progress(name, process.ready_after)

    def _give_up_when_hopeless(self, current: State | None, late: bool) -> None:
        if current is None:
            if late or not self._supervisor_appears():
                raise StackFailed("the supervisor does not start", ["supervisor"])
            return
        if current.failed():
            raise StackFailed(f"{', '.join(current.failed())} cannot start", current.failed())
        if not self.is_running():
            raise StackFailed("the supervisor has died", ["supervisor"])
        if late:
            unready = [
                name
                for name, process in current.processes.items()
                if process.status not in {Status.READY, Status.DONE, Status.WAITING}
            ]
            raise StackFailed(f"not ready in time: {', '.join(unready)}", unready)

    def _supervisor_appears(self) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.home.state.exists():
                return True
            time.sleep(0.02)
        return False

    def _set_old_logs_aside(self) -> None:
        for log in self.home.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def _sweep(self) -> None:
        """End what a killed supervisor may have left behind."""
        left = state.read(self.home)
        processes = list(left.processes.values()) if left else []
        for process in processes:
            if process.pid:
                identity.end(process.pid, process.start, signal.SIGTERM, patience=10)
        postgres.end_leftover(self.home.postgres_data)
