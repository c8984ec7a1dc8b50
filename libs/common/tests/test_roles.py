"""A service as a container runs it: secrets from a folder, migrations as a job, a role on its own."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.e2e.client import eventually

from common.db.provision import role_names
from common.testing.databases import DatabaseServer, ServiceDatabase


@pytest.fixture
async def database(postgres: DatabaseServer) -> AsyncIterator[ServiceDatabase]:
    """A database that is not there yet."""
    planned = ServiceDatabase(postgres, "workspaces", f"test_job_{uuid4().hex[:12]}")
    yield planned
    await planned.drop()


@pytest.fixture
def environment(database: ServiceDatabase, kafka: str, tmp_path: Path) -> dict[str, str]:
    secrets = {
        "superuser_database_url": database.server.superuser_url,
        "owner_database_url": database.owner_url,
        "database_url": database.app_url,
        "relay_database_url": database.relay_url,
        "tenancy_key": database.tenancy_key,
        "link_secret": "00" * 32,
    }
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
    # Neither settings of another stack nor a home: a container has none.
    return {"PATH": os.environ["PATH"], "SECRETS_DIR": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": kafka}


async def _start(environment: dict[str, str], *words: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "workspaces", *words]
    return await asyncio.create_subprocess_exec(*command, env=environment)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def test_a_job_makes_the_database_and_a_role_alone_answers_probes_and_ends_in_order(
    database: ServiceDatabase, environment: dict[str, str]
) -> None:
    assert set(database.server.passwords) >= set(role_names("workspaces"))
    for _ in range(2):  # a job may be run again
        job = await _start(environment, "migrate", "--provision")
        assert await asyncio.wait_for(job.wait(), 60) == 0
    port = _free_port()
    relay = await _start({**environment, "HEALTH_PORT": str(port), "KAFKA_IDEMPOTENCE": "false"}, "relay")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def ready() -> httpx.Response | None:
                try:
                    answer = await http.get("/health/ready")
                except httpx.TransportError:
                    return None
                return answer if answer.status_code == 200 else None

            assert (await eventually(ready, within=20)).json() == {
                "checks": {"database": True, "staying": True}
            }
            assert (await http.get("/health/live")).status_code == 200
            assert (await http.get("/api/v1/workspaces")).status_code == 404
        relay.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(relay.wait(), 20) == 0
    finally:
        if relay.returncode is None:
            relay.kill()
            await relay.wait()
