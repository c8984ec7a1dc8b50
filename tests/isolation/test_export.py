"""An export has all rows of its tenant from every service, none of anybody else's, and no secret."""

import io
import json
import zipfile
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from common.bus.handling import Handling
from common.context import SystemContext
from common.contracts.tenants import TenantDeleted, TenantExportRequested, TenantPartExported
from common.erasure import Undertaker
from common.exporting import Exporter, is_secret, list_resources, part_path
from common.files import Files, folder_of
from common.ids import new_id
from common.testing.harness import MadeTenant
from tests.isolation.events import envelope_of
from tests.isolation.installation import World
from tests.isolation.remains import counts_of, ids_of, spellings
from tests.isolation.seeds import seed

Rows = dict[str, list[dict[str, Any]]]
_SECRETS = """
SELECT n.nspname || '.' || c.relname AS name, quote_ident(a.attname) AS col
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0
  AND (a.atttypid = 'bytea'::regtype OR a.attname ~ 'hash|secret|token$|private')
"""


@pytest.fixture
async def pair(world: World, superuser: asyncpg.Connection) -> list[MadeTenant]:
    """Two tenants with rows in every table."""
    made = [await world.harness.make_tenant(f"{name} {new_id().hex} Ltd") for name in ("Mine", "Theirs")]
    for tenant in made:
        await seed(world.harness, tenant)
        await superuser.execute("DELETE FROM tenancy.exports WHERE tenant_id = $1", tenant.tenant_id)
        await superuser.execute("DELETE FROM tenancy.erasures WHERE tenant_id = $1", tenant.tenant_id)
    await world.harness.kernel.access_log.flush()
    return made


async def request(world: World, tenant: MadeTenant) -> UUID:
    job_id = new_id()
    await world.harness.handle(
        tenant.tenant_id, TenantExportRequested(tenant_id=tenant.tenant_id, job_id=job_id, version=1)
    )
    return job_id


def exporter(world: World) -> Exporter:
    return Exporter(world.harness.kernel, world.harness.service.exporting)


async def part_of(world: World, tenant: MadeTenant, job_id: UUID) -> Rows:
    """The rows of the service's part by table."""
    files = Files(world.harness.kernel.settings.files_url)
    path = part_path(tenant.tenant_id, job_id, world.service)
    stored = b"".join([piece async for piece in files.read(path)])
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        return {
            name.removesuffix(".jsonl").replace("/", "."): [
                json.loads(line) for line in archive.read(name).splitlines()
            ]
            for name in archive.namelist()
        }


async def test_a_part_has_all_rows_of_its_tenant_and_no_secret(
    world: World, pair: list[MadeTenant], superuser: asyncpg.Connection
) -> None:
    mine, theirs = pair
    job_id = await request(world, mine)
    await exporter(world).work_on(mine.tenant_id)
    part = await part_of(world, mine, job_id)
    left_out = world.harness.service.exporting.left_out
    assert all(left_out.values()), "each with its reason"
    expected = await counts_of(superuser, mine.tenant_id)
    own = {name: rows for name, rows in expected.items() if name.startswith(f"{world.service}.")}
    assert own, "the positive control"
    assert {name: len(rows) for name, rows in part.items() if rows} == {
        name: rows for name, rows in own.items() if name not in left_out
    }
    told = await superuser.fetch(
        "SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND type = $2",
        *(mine.tenant_id, TenantPartExported.ce_type()),
    )
    assert len(told) == 1
    text = json.dumps(part).lower()
    assert str(mine.tenant_id) in text
    foreign = await ids_of(superuser, theirs.tenant_id) - await ids_of(superuser, mine.tenant_id)
    assert not [word for one in foreign for word in spellings(one) if word in text]
    for table, column in await superuser.fetch(_SECRETS, world.service):
        statement = f"SELECT {column}::text FROM {table} WHERE tenant_id = $1 AND {column} IS NOT NULL"
        values = [row[0] for row in await superuser.fetch(statement, mine.tenant_id)]
        assert not [value for value in values if len(value) > 8 and value.removeprefix("\\x") in text]
        assert all(column not in row for row in part.get(table, [])), (table, column)


async def test_every_table_is_exported_or_left_out_with_a_reason(world: World) -> None:
    service, context = world.harness.service, SystemContext(world.mine.tenant_id, "job", world.service)
    async with world.harness.kernel.database.tenant(context) as session:
        resources = await list_resources(session, service.name, service.exporting)
    named = {resource.table for resource in resources} | service.exporting.left_out.keys()
    assert {table.name for table in world.tables if table.name.startswith(f"{service.name}.")} <= named
    assert not [column for one in resources for column in one.columns if is_secret(column)]


async def test_an_erased_tenant_leaves_no_file(
    world: World, pair: list[MadeTenant], superuser: asyncpg.Connection
) -> None:
    """Not even when a part was being written as it was erased."""
    files, (mine, theirs) = Files(world.harness.kernel.settings.files_url), pair
    for tenant in pair:
        await request(world, tenant)
        await exporter(world).work_on(tenant.tenant_id)
        assert len(await files.list_below(folder_of(tenant.tenant_id))) == 1, "the positive control"
    await request(world, mine)
    late = exporter(world)
    write = late._files.write  # type: ignore[attr-defined]

    async def erased_meanwhile(path: str, contents: Any) -> None:
        await write(path, contents)
        handling = Handling(world.service, world.harness.kernel.database, world.harness.service.handlers)
        event = TenantDeleted(tenant_id=mine.tenant_id, version=99)
        await handling.apply(event.TOPIC, envelope_of(event, mine.tenant_id))
        await Undertaker(world.harness.kernel, world.harness.service.erasing).work_on(mine.tenant_id)
        await write(path, contents)

    late._files.write = erased_meanwhile  # type: ignore[method-assign]
    await late.work_on(mine.tenant_id)
    assert await files.list_below(folder_of(mine.tenant_id)) == []
    assert len(await files.list_below(folder_of(theirs.tenant_id))) == 1
    erased = "SELECT erased_at FROM tenancy.erasures WHERE tenant_id = $1"
    assert await superuser.fetchval(erased, mine.tenant_id) is not None
