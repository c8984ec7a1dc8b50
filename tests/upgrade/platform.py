"""A platform that code of some release starts and stops, in a process of that release's own environment."""

import json
import os
import subprocess
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from penguinmails import ports
from tests.upgrade.release import surroundings

_PATIENCE_SECONDS = 60

# Read by the release's own Python. It stops with the end of its input, so with us.
_KEEPER = """
import json, sys
from pathlib import Path
from penguinmails.credentials import SERVICES
from penguinmails.stack import Stack

stack = Stack(Path(sys.argv[1]), int(sys.argv[2]), attached=True)
stack.up()
settings = {service: stack.config.migration_environment(service) for service in SERVICES}
known = stack.env()
print(json.dumps({"gateway": known["gateway"], "superuser": known["postgres"]["superuser"],
                  "settings": settings}), flush=True)
for line in sys.stdin:
    for service in line.split():
        stack.wait_ready(service, other_than=stack.kill(service))
    print("{}", flush=True)
stack.down()
"""

# What keeps a service from its start: the release's own rules, asked of the databases as they are now.
_REFUSALS = """
import asyncio, json, sys
import asyncpg
from common.db.catalog import find_breaches

async def ask(service, url):
    connection = await asyncpg.connect(url)
    try:
        return await find_breaches(connection, service)
    finally:
        await connection.close()

urls = json.loads(sys.argv[1])
print(json.dumps({service: asyncio.run(ask(service, url)) for service, url in urls.items()}))
"""


@dataclass(frozen=True)
class Running:
    """A platform that runs: its gateway, its database, and the settings of its services and migrations."""

    process: "subprocess.Popen[str]"
    gateway: str
    superuser: str
    settings: dict[str, dict[str, str]]

    def restart(self, services: Iterable[str]) -> None:
        """Kill each of the services and have it begin anew."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(services) + "\n")
        self.process.stdin.flush()
        _told(self.process)


@contextmanager
def platform_of(code: Path, home: Path, port: int) -> Generator[Running]:
    """The platform of the release whose code is in the folder; `port`: its gateway's."""
    command = [str(code / ".venv/bin/python"), "-c", _KEEPER, str(home), str(port)]
    process = subprocess.Popen(
        command,
        cwd=code,
        env=surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(process, **_told(process))
    finally:
        process.communicate()


def _told(process: "subprocess.Popen[str]") -> dict[str, dict[str, dict[str, str]]]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the platform ended with status {process.wait()}")
    return json.loads(line)


@contextmanager
def beside(python: str, running: Running, logs: Path) -> Generator[dict[str, str]]:
    """A second process of each service, run by another release's Python; their addresses."""
    processes: list[subprocess.Popen[bytes]] = []
    addresses: dict[str, str] = {}
    try:
        for service, settings in running.settings.items():
            port = ports.random_free({int(address.rpartition(":")[2]) for address in addresses.values()})
            environment = {**surroundings(), **settings, "SERVICE_PORT": str(port)}
            del environment["OWNER_DATABASE_URL"]
            with (logs / f"beside-{service}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [python, "-m", service, "run"], env=environment, stdout=log, stderr=log, cwd=logs
                    )
                )
            addresses[service] = f"http://127.0.0.1:{port}"
        for address in addresses.values():
            _await_ready(address)
        yield addresses
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _await_ready(address: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _is_ready(address):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{address} does not become ready")
        time.sleep(0.1)


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def refusals(code: Path, running: Running) -> dict[str, list[str]]:
    """Why services of the release would not begin on the databases."""
    urls = {service: settings["DATABASE_URL"] for service, settings in running.settings.items()}
    command = [str(code / ".venv/bin/python"), "-c", _REFUSALS, json.dumps(urls)]
    asked = subprocess.run(command, cwd=code, env=surroundings(), capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(asked.stdout)
    return {service: findings for service, findings in found.items() if findings}


def migrate(python: str, running: Running) -> None:
    """Bring the running platform's databases to the schema of the code of `python`."""
    for service, settings in running.settings.items():
        command = [python, "-m", service, "migrate"]
        subprocess.run(command, env={**os.environ, **settings}, check=True)
