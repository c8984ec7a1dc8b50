"""Recognising a process again by pid and start time, so that a reused pid is never signalled."""

import os
import signal
import time
from pathlib import Path

import psutil


def started(pid: int) -> str | None:
    """A text that stays the same while this process lives; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self").exists() else _started_elsewhere(pid)
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _started_elsewhere(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_alive(pid: int, start: str) -> bool:
    return started(pid) == start


def end(pid: int, start: str, with_signal: signal.Signals, patience: float) -> None:
    """Signal the process and wait for its end; after `patience` seconds kill it."""
    deadline = time.monotonic() + patience
    send(pid, start, with_signal)
    while is_alive(pid, start):
        if time.monotonic() > deadline:
            send(pid, start, signal.SIGKILL)
        time.sleep(0.02)


def send(pid: int, start: str, number: signal.Signals) -> None:
    if is_alive(pid, start):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
