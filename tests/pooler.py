"""PgBouncer in transaction mode before a PostgreSQL server, for running tests through it."""

import os
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy.engine import make_url

from common.testing.databases import DatabaseServer
from penguinmails import ports, privileges

_PATIENCE = 10.0
_SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
"""


class PgBouncerMissing(Exception):
    """The program is not on this machine: install the package `pgbouncer`."""


@contextmanager
def pgbouncer(server: DatabaseServer, folder: Path) -> Generator[DatabaseServer]:
    """The same server, with service roles going through a pooler of four connections per database.

    Raises:
        PgBouncerMissing: nothing to run.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise PgBouncerMissing
    listen_port = ports.random_free(set())
    settings = _write_settings(server, folder, listen_port)
    user = privileges.server_user(folder / "nobody's")
    command = [*privileges.as_user(user), program, "-q", str(settings)]
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_listening(process, listen_port, folder / "pgbouncer.log")
        yield replace(server, pooler=("127.0.0.1", listen_port))
    finally:
        process.terminate()
        process.wait(10)


def _write_settings(server: DatabaseServer, folder: Path, listen_port: int) -> Path:
    users, settings = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text("".join(f'"{role}" "{password}"\n' for role, password in server.passwords.items()))
    url = make_url(server.superuser_url)
    settings.write_text(
        _SETTINGS.format(host=url.host, port=url.port, listen_port=listen_port, users=users.resolve())
    )
    for path in (users, settings):
        path.chmod(0o644)
    return settings


def _await_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while ports.is_free(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PgBouncer does not start: {log.read_text()}")
        time.sleep(0.02)
