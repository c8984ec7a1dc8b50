"""The background process that starts the stack, restarts what dies, and tells `state.json`.

Run by `penguinmails up` as `python -m penguinmails.supervisor HOME`; ends on SIGTERM, or with the process
named by two further arguments, pid and start.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from penguinmails import child, config, files, identity, plan, state
from penguinmails.home import Home
from penguinmails.plan import INFRASTRUCTURE, Unit
from penguinmails.state import Process, State, Status

PROBE_EVERY = 0.05
STEADY_AFTER = 2.0
"""Seconds of readiness after which an end is taken for an accident, not for a crash loop."""
LONGEST_DELAY = 10.0
STOP_PATIENCE = 16.0
"""More than a service needs at most: its last requests 5 s, its work 6 s, its relay 3 s."""

Keeper = tuple[int, str]
"""Pid and start of the process an attached stack belongs to."""


def restart_delay(failures: int) -> float:
    """Seconds to wait before the next start, after so many ends in a row: at once, 0.2, 0.4, …"""
    return 0.0 if failures <= 1 else min(0.1 * 2 ** (failures - 1), LONGEST_DELAY)


async def _stop_without(keeper: Keeper, stop: asyncio.Event) -> None:
    while identity.is_alive(*keeper):  # noqa: ASYNC110 - another process decides
        await asyncio.sleep(0.5)
    stop.set()


def _was_steady(process: Process) -> bool:
    ready_at = process.started_at + (process.ready_after or 0)
    return process.status is Status.READY and time.time() - ready_at > STEADY_AFTER


class Supervisor:
    def __init__(self, home: Home, units: list[Unit]) -> None:
        self.home = home
        self.units = {unit.name: unit for unit in units}
        self.up = {unit.name: asyncio.Event() for unit in units}
        self.exits: dict[int, asyncio.Future[int]] = {}
        me = os.getpid()
        processes = {unit.name: Process() for unit in units}
        self.state = State(me, identity.started(me) or "", time.time(), processes)

    async def run(self, keeper: Keeper | None = None) -> None:
        """Until SIGTERM, or until the keeper is gone."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._publish()
        async with asyncio.TaskGroup() as group:
            overseers = [group.create_task(self._oversee(unit)) for unit in self.units.values()]
            overseers.append(group.create_task(self._trim_logs()))
            if keeper:
                overseers.append(group.create_task(_stop_without(keeper, stop)))
            await stop.wait()
            for overseer in overseers:
                overseer.cancel()
        await self._stop_all()

    async def _oversee(self, unit: Unit) -> None:
        for name in unit.after:
            await self.up[name].wait()
        process, failures = self.state.processes[unit.name], 0
        while True:
            status = await self._watch(unit, self._start(unit))
            if unit.probe is None:
                self._finish_task(unit, status)
                return
            child.end_orphans(set(self.exits))
            failures = 1 if _was_steady(process) else failures + 1
            process.status, process.pid, process.exit_status = Status.BACKING_OFF, None, status
            self._publish()
            await asyncio.sleep(restart_delay(failures))
            process.restarts += 1

    def _start(self, unit: Unit) -> asyncio.Future[int]:
        unit.prepare()
        log, process = self.home.log(unit.name), self.state.processes[unit.name]
        exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            pid = child.spawn(unit.command(), log, unit.environment, self.home.root, unit.death_signal)
        except OSError as error:
            log.write_text(f"cannot start: {error}\n")
            exited.set_result(127)
            return exited
        self.exits[pid] = exited
        process.pid, process.start = pid, identity.started(pid) or ""
        process.status, process.started_at = Status.STARTING, time.time()
        self._publish()
        return exited

    async def _watch(self, unit: Unit, exited: "asyncio.Future[int]") -> int:
        """Announce readiness once, then wait for the end; its exit status."""
        ready = asyncio.create_task(self._await_ready(unit))
        try:
            return await asyncio.shield(exited)
        finally:
            ready.cancel()

    async def _await_ready(self, unit: Unit) -> None:
        process = self.state.processes[unit.name]
        if unit.probe is None or process.pid is None:
            return
        while not await unit.probe(process.pid):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(PROBE_EVERY)
        self._announce(unit.name, Status.READY)

    def _finish_task(self, unit: Unit, status: int) -> None:
        process = self.state.processes[unit.name]
        process.pid, process.exit_status = None, status
        if status == 0:
            self._announce(unit.name, Status.DONE)
        else:
            process.status = Status.FAILED
            self._publish()

    def _announce(self, name: str, status: Status) -> None:
        process = self.state.processes[name]
        process.status, process.ready_after = status, time.time() - process.started_at
        self.up[name].set()
        self._publish()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            exited = self.exits.pop(pid, None)
            if exited and not exited.done():
                exited.set_result(os.waitstatus_to_exitcode(status))

    async def _stop_all(self) -> None:
        """Gateway and services first, so that they can still finish against what they use."""
        await self._stop([name for name in self.units if name not in INFRASTRUCTURE])
        await self._stop(list(INFRASTRUCTURE))
        child.end_orphans(set(self.exits))

    async def _stop(self, names: list[str]) -> None:
        waits = [self.exits[pid] for name in names if (pid := self._signal(name)) in self.exits]
        if waits:
            await asyncio.wait(waits, timeout=STOP_PATIENCE)
        for name in names:
            process = self.state.processes.get(name)
            if process and process.pid in self.exits:
                os.kill(process.pid, signal.SIGKILL)
            if process:
                process.status, process.pid = Status.STOPPED, None
        self._publish()

    def _signal(self, name: str) -> int:
        process = self.state.processes.get(name)
        if process is None or process.pid not in self.exits:
            return 0
        os.kill(process.pid, self.units[name].stop_signal)
        return process.pid

    async def _trim_logs(self) -> None:
        while True:
            for name in self.units:
                child.trim_log(self.home.log(name))
            await asyncio.sleep(5)

    def _publish(self) -> None:
        state.write(self.home, self.state)


def main() -> None:
    _, root, *keeper = sys.argv
    home = Home(Path(root))
    if os.fork():
        os._exit(0)
    lock = _take_lock(home)
    child.adopt_orphans()
    units = plan.of(config.load(home))
    try:
        asyncio.run(_supervise(home, units, (int(keeper[0]), keeper[1]) if keeper else None))
    finally:
        os.close(lock)


async def _supervise(home: Home, units: list[Unit], keeper: Keeper | None) -> None:
    await Supervisor(home, units).run(keeper)


def _take_lock(home: Home) -> int:
    """Others look at the lock for an instant only: a second of trying means another supervisor."""
    for _ in range(40):
        lock = files.try_lock(home.supervisor_lock)
        if lock is not None:
            return lock
        time.sleep(0.025)
    sys.exit("another supervisor has this stack")


if __name__ == "__main__":
    main()
