"""A PostgreSQL server of the tests' own: nothing but that, and there in two seconds."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.db.provision import role_names
from common.testing.databases import DatabaseServer
from penguinmails import ports, postgres
from penguinmails.child import dying_with_us
from penguinmails.credentials import SERVICES

PASSWORD = "pw"
_HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
_PATIENCE_SECONDS = 60


@contextmanager
def database_server(home: Path) -> Iterator[DatabaseServer]:
    """A PostgreSQL server below `home` that lives as long as the block."""
    data = home / "data"
    postgres.make_cluster(data, PASSWORD)
    port = ports.random_free(set())
    options = [part for setting in _HASTE for part in ("-c", setting)]
    with (home / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            [*postgres.command(data, port), *options],
            cwd="/",
            stdout=log,
            stderr=log,
            preexec_fn=dying_with_us(signal.SIGINT),  # noqa: PLW1509 - as the stack does
        )
    try:
        _await_ready(data, process)
        passwords = {role: PASSWORD for name in SERVICES for role in role_names(name)}
        yield DatabaseServer(f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres", passwords)
    finally:
        process.terminate()
        process.wait()


def _await_ready(data: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not postgres.is_ready(data, process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: see {data.with_name('postgres.log')}")
        time.sleep(0.05)
