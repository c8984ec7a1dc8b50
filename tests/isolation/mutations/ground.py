"""Where mutations are tried: a PostgreSQL server of the run's own with one migrated database per service."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from common.db.migrate import migrate
from common.db.provision import provision_database, role_names
from common.testing.databases import TEST_TENANCY_KEY, DatabaseServer, ServiceDatabase
from penguinmails import ports, postgres
from tests.isolation.services import SERVICES, service_of

PASSWORD = "pw"
_HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
_PATIENCE_SECONDS = 60


@contextmanager
def server(home: Path) -> Iterator[DatabaseServer]:
    """A PostgreSQL server below `home` that lives as long as the block."""
    data = home / "data"
    postgres.make_cluster(data, PASSWORD)
    port = ports.random_free(set())
    options = [part for setting in _HASTE for part in ("-c", setting)]
    with (home / "postgres.log").open("wb") as log:
        process = subprocess.Popen([*postgres.command(data, port), *options], cwd="/", stdout=log, stderr=log)
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


async def make_templates(server: DatabaseServer) -> dict[str, str]:
    """Migrate each service's database; returns their names by service."""
    names = {service: f"pristine_{service}" for service in SERVICES}
    for service, name in names.items():
        passwords = {role: server.passwords[role] for role in role_names(service)}
        await provision_database(server.superuser_url, service, passwords, name)
        database = ServiceDatabase(server, service, name)
        await migrate(service, database.owner_url, TEST_TENANCY_KEY, service_of(service).migrations)
    return names


async def run_sql(url: str, statements: str) -> None:
    """Run statements on a connection of their own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
