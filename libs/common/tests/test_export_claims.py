"""One worker at a time writes a part of an export, as of one moment, however long that takes."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.e2e.client import eventually

from common import exporting
from common.contracts.tenants import TenantExportRequested, TenantPartExported
from common.exporting import Exporter, part_path
from common.files import Files
from common.ids import new_id
from common.lease import LeaseLost
from common.testing.databases import ServiceDatabase
from common.testing.harness import BUSY, Harness, MadeTenant, harness

LEASE = 0.4
Copy = Callable[..., Awaitable[int]]


class Gate:
    """Holds every copy of a table up until it is opened."""

    def __init__(self, copy: Copy) -> None:
        self._copy, self._open = copy, asyncio.Event()
        self.waiting = 0

    async def copy(self, *values: Any) -> int:
        self.waiting += 1
        await self._open.wait()
        return await self._copy(*values)

    def open(self) -> None:
        self._open.set()

    async def is_reached(self) -> bool:
        return self.waiting > 0


class Scene:
    """One tenant's export, and two workers with a process's worth of their own each."""

    def __init__(
        self, service: Harness, tenant: MadeTenant, job_id: UUID, superuser: asyncpg.Connection
    ) -> None:
        self.service, self.tenant, self.job_id, self.superuser = service, tenant, job_id, superuser

    async def until(self) -> datetime:
        statement = "SELECT next_attempt_at FROM tenancy.exports WHERE job_id = $1"
        found: datetime = await self.superuser.fetchval(statement, self.job_id)
        return found

    async def told(self) -> int:
        statement = "SELECT count(*) FROM tenancy.outbox WHERE tenant_id = $1 AND type = $2"
        values = (self.tenant.tenant_id, TenantPartExported.ce_type())
        count: int = await self.superuser.fetchval(statement, *values)
        return count

    async def is_told(self) -> bool:
        return await self.told() == 1

    async def part(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of the part by table."""
        files = Files(self.service.kernel.settings.files_url)
        path = part_path(self.tenant.tenant_id, self.job_id, self.service.service.name)
        stored = b"".join([piece async for piece in files.read(path)])
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            names = archive.namelist()
            return {name: [json.loads(line) for line in archive.read(name).splitlines()] for name in names}


@pytest.fixture
async def scene(
    api: Callable[..., Awaitable[Harness]],
    service_database: Callable[[str], Awaitable[ServiceDatabase]],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Scene]:
    monkeypatch.setattr(exporting, "_LEASE_SECONDS", LEASE)
    service = await api("workspaces")
    superuser = await asyncpg.connect((await service_database("workspaces")).superuser_url)
    tenant, job_id = await service.make_tenant(features=BUSY), new_id()
    await service.handle(
        tenant.tenant_id, TenantExportRequested(tenant_id=tenant.tenant_id, job_id=job_id, version=1)
    )
    yield Scene(service, tenant, job_id, superuser)
    await superuser.execute("DELETE FROM tenancy.exports WHERE job_id = $1", job_id)
    await superuser.close()


@pytest.fixture
async def workers(
    scene: Scene, service_database: Callable[[str], Awaitable[ServiceDatabase]]
) -> AsyncIterator[list[Exporter]]:
    """Two, with connections of their own."""
    service, database = scene.service.service, await service_database("workspaces")
    files = {"FILES_URL": scene.service.kernel.settings.files_url}
    async with AsyncExitStack() as exits:
        kernels = [
            (await exits.enter_async_context(harness(service, database, files))).kernel for _ in range(2)
        ]
        yield [Exporter(kernel, service.exporting) for kernel in kernels]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate(exporting._copy)
    monkeypatch.setattr(exporting, "_copy", made.copy)
    return made


async def test_a_part_is_of_one_moment(
    scene: Scene, workers: list[Exporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written while its first table is copied is in none of the others."""
    copy, names = exporting._copy, iter(f"Later {number}" for number in range(100))
    made: list[int] = []

    async def written_meanwhile(*values: Any) -> int:
        count = await copy(*values)
        body = {"name": next(names)}
        answer = await scene.service.client.post(
            "/api/v1/workspaces", headers=scene.tenant.headers, json=body
        )
        made.append(answer.status_code)
        return count

    monkeypatch.setattr(exporting, "_copy", written_meanwhile)
    await workers[0].work_on(scene.tenant.tenant_id)
    assert made[0] == 201, "the positive control"
    part = await scene.part()
    names_in_it = {row.get("name") for rows in part.values() for row in rows}
    assert "Default" in names_in_it, "the positive control"
    assert not [name for name in names_in_it if name and name.startswith("Later")]


async def test_a_claim_is_kept_while_its_part_is_written(
    scene: Scene, workers: list[Exporter], gate: Gate
) -> None:
    busy, idle = workers
    writing = asyncio.create_task(busy.work_on(scene.tenant.tenant_id))
    await eventually(gate.is_reached)
    began = await scene.until()
    looking = asyncio.create_task(idle.rounds.run())

    async def kept_for_four_leases() -> bool:
        return await scene.until() > began + timedelta(seconds=4 * LEASE)

    await eventually(kept_for_four_leases)
    assert (gate.waiting, await scene.told()) == (1, 0), "nobody else has begun"
    gate.open()
    await writing
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    assert await scene.told() == 1


async def test_the_part_of_a_killed_worker_is_written_by_another(
    scene: Scene, workers: list[Exporter], gate: Gate
) -> None:
    killed, heir = workers
    writing = asyncio.create_task(killed.work_on(scene.tenant.tenant_id))
    await eventually(gate.is_reached)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    gate.open()
    looking = asyncio.create_task(heir.rounds.run())
    await eventually(scene.is_told)
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    assert (await scene.part())["workspaces/workspaces.jsonl"]


async def test_a_worker_whose_claim_was_taken_stops_and_tells_nothing(
    scene: Scene, workers: list[Exporter], gate: Gate
) -> None:
    """It slept for longer than its claim, as a process that is stopped does."""
    slow, other = workers
    writing = asyncio.create_task(slow.work_on(scene.tenant.tenant_id))
    await eventually(gate.is_reached)
    await scene.superuser.execute(
        "UPDATE tenancy.exports SET next_attempt_at = now() - interval '1 hour' WHERE job_id = $1",
        scene.job_id,
    )
    taking = asyncio.create_task(other.work_on(scene.tenant.tenant_id))
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(writing, 10)
    assert await scene.told() == 0
    gate.open()
    await taking
    assert await scene.told() == 1
