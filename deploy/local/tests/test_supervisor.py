"""The supervisor over harmless processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from penguinmails import identity, state
from penguinmails.home import Home
from penguinmails.state import Process, Status
from penguinmails.supervisor import restart_delay

SCRIPT = Path(__file__).with_name("toy_stack.py")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "a home")
    home.make()
    with subprocess.Popen([sys.executable, SCRIPT, home.root]) as supervisor:
        _await(lambda: home.state.exists() and _process(home, "service").status is Status.READY)
        try:
            yield home
        finally:
            family = (
                psutil.Process(supervisor.pid).children(recursive=True) if supervisor.poll() is None else []
            )
            supervisor.terminate()
            supervisor.wait(10)
            assert not [process for process in family if identity.started(process.pid)]


def _process(home: Home, name: str) -> Process:
    current = state.read(home)
    assert current is not None
    return current.processes[name]


def _await(condition: Callable[[], Any], patience: float = 10) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def _supervisor(home: Home) -> int:
    current = state.read(home)
    assert current is not None
    return current.supervisor_pid


def test_processes_start_after_what_they_need(home: Home) -> None:
    assert _process(home, "task").status is Status.DONE
    assert (home.root / "task-ran").exists()
    assert _process(home, "service").restarts == 0


def test_a_killed_process_is_back_at_once(home: Home) -> None:
    before = _process(home, "service")
    assert before.pid
    began = time.monotonic()
    os.kill(before.pid, signal.SIGKILL)
    _await(lambda: _process(home, "service").restarts == 1 and _process(home, "service").pid)
    assert time.monotonic() - began < 0.5
    assert _process(home, "service").pid != before.pid


def test_a_process_that_keeps_dying_is_started_ever_more_slowly(home: Home) -> None:
    assert [restart_delay(failures) for failures in range(1, 6)] == [0, 0.2, 0.4, 0.8, 1.6]
    assert restart_delay(50) == 10
    _await(lambda: _process(home, "crashing").restarts >= 3)
    assert _process(home, "crashing").exit_status == 3
    _await(lambda: "no such" in home.log("missing").read_text().lower())


def test_a_hopeless_process_is_named(home: Home) -> None:
    def failed() -> list[str]:
        current = state.read(home)
        return current.failed() if current else []

    _await(lambda: set(failed()) == {"crashing", "missing"})


def test_everything_dies_with_the_supervisor(home: Home) -> None:
    names = ("postgres", "service", "parent", "stubborn")
    processes = [_process(home, name) for name in names]
    _await(lambda: psutil.Process(processes[2].pid).children())
    grandchild = psutil.Process(processes[2].pid).children()[0]
    os.kill(_supervisor(home), signal.SIGKILL)
    _await(lambda: not any(identity.is_alive(process.pid or 0, process.start) for process in processes))
    grandchild.kill()  # the kernel tells children only


def test_orphans_of_a_dead_process_are_ended(home: Home) -> None:
    parent = _process(home, "parent")
    assert parent.pid
    _await(lambda: psutil.Process(parent.pid).children())
    orphan = psutil.Process(parent.pid).children()[0]
    os.kill(parent.pid, signal.SIGKILL)
    _await(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


def test_sigterm_lets_processes_finish(home: Home) -> None:
    _await(lambda: "begun" in home.log("service").read_text())
    pid = _supervisor(home)
    start = identity.started(pid)
    os.kill(pid, signal.SIGTERM)
    _await(lambda: identity.started(pid) != start)
    assert "orderly" in home.log("service").read_text()
    assert _process(home, "service").status is Status.STOPPED


def test_an_attached_stack_ends_with_its_keeper(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as keeper:
        start = identity.started(keeper.pid)
        assert start
        with subprocess.Popen([sys.executable, SCRIPT, home.root, str(keeper.pid), start]) as supervisor:
            _await(lambda: home.state.exists() and _process(home, "service").status is Status.READY)
            keeper.kill()
            keeper.wait()
            assert supervisor.wait(10) == 0
    assert _process(home, "service").status is Status.STOPPED
