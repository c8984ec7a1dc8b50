"""Starting one process so that it dies with us, and ending what it leaves behind."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOG_LIMIT = 16 << 20

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# Settings of the caller's shell that would mislead servers on loopback, or make each of ten processes
# compile every module at every start.
UNWANTED = {
    "PYTHONDONTWRITEBYTECODE",
    *("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    *("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSERVICE", "PGDATA", "PGOPTIONS"),
}


def adopt_orphans() -> None:
    """Grandchildren whose parent died become ours, so that they can be ended."""
    if _LIBC:
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def dying_with_us(death: signal.Signals) -> Callable[[], None]:
    """To be called in a new child: from then on our end brings it the signal."""
    parent = os.getpid()

    def prepare() -> None:
        if _LIBC:
            _LIBC.prctl(PR_SET_PDEATHSIG, int(death), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def spawn(
    command: list[str], log: Path, environment: dict[str, str], folder: Path, death: signal.Signals
) -> int:
    inherited = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
            cwd=folder,
            start_new_session=True,
            preexec_fn=dying_with_us(death),  # noqa: PLW1509 - we have one thread
        )
    process.returncode = 0  # the supervisor reaps it
    return process.pid


def end_orphans(known: set[int]) -> None:
    """Kill our children that we did not start: left behind by a process that has died."""
    for child in psutil.Process().children():
        if child.pid not in known:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue


def trim_log(log: Path) -> None:
    """Keep one older copy of a log that has grown too long. Writers append, so they notice nothing."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.with_suffix(".log.1").write_bytes(log.read_bytes())
        os.truncate(log, 0)
