"""A tenant is deleted on the running platform while a service is killed: nothing of it is left anywhere."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from common.bus.kafka import all_topics, topic_settings
from common.contracts.envelope import PARTITIONS, find_type
from common.ids import Kind, new_id, parse
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.test_command import run
from tests.isolation.remains import by_length, counts_of, ids_of, search, spellings, words_in

SERVICES = ("auth", "tenants", "workspaces", "campaigns", "audit")
CROWD = 4000
_CROWD = """
INSERT INTO campaigns.contacts (tenant_id, contact_id, workspace_id, email)
SELECT $1, uuidv7(), $2, 'c' || i || '@crowd.example.com' FROM generate_series(1, $3) AS i
"""
_ERASED = "SELECT erased_at FROM tenants.deletions WHERE tenant_id = $1"
RETENTION_DAYS = 7
"""Of the stack's events; the setting's default."""
Record = Any
Databases = dict[str, asyncpg.Connection]


@pytest.fixture
async def databases(environment: dict[str, Any]) -> AsyncIterator[Databases]:
    """Every database, as one who sees everything."""
    dsn = environment["postgres"]["superuser"]
    async with AsyncExitStack() as exits:
        made: Databases = {}
        for name in SERVICES:
            made[name] = await asyncpg.connect(dsn, database=name)
            exits.push_async_callback(made[name].close)
        yield made


async def work(platform: Platform, tenant: Tenant) -> None:
    """Leave something everywhere."""
    workspace = await platform.make(tenant, "/workspaces", name=f"{tenant.company_name} workspace")
    place = {"workspace_id": workspace["workspace_id"]}
    await platform.make(tenant, "/contacts", email=f"friend-{tenant.owner_email}", **place)
    await platform.make(tenant, "/lists", name=f"{tenant.company_name} list", **place)
    await platform.make(tenant, "/campaigns", name=f"{tenant.company_name} campaign", **place)
    await platform.make(tenant, "/invitations", email=f"guest-{tenant.owner_email}", role="member")
    assert (await platform.get(tenant, "/campaigns/camp_01jcp0e84xf9e8wske7w6smprh")).status_code == 404
    await platform.audited(tenant, action="user.invited")


async def all_counts(databases: Databases, tenant: Tenant) -> dict[str, int]:
    tenant_id = parse(Kind.TENANT, tenant.tenant_id)
    found: dict[str, int] = {}
    for sql in databases.values():
        for name, rows in (await counts_of(sql, tenant_id)).items():
            found[name] = found.get(name, 0) + rows
    return found


@pytest.mark.usefixtures("tenant")  # sign-up works again after the fault before
async def test_a_deleted_tenant_leaves_what_its_certificate_names(
    stack: Stack, platform: Platform, databases: Databases, kafka: str
) -> None:
    gone, stays = [await platform.sign_up(f"{name} {new_id().hex[-8:]}") for name in ("Leaving", "Staying")]
    for tenant in (gone, stays):
        await work(platform, tenant)
    tenant_id = parse(Kind.TENANT, gone.tenant_id)
    workspace_id = parse(Kind.WORKSPACE, gone.default_workspace_id)
    names = {gone.company_name, gone.owner_email, gone.tenant_id}
    told = names | await words_of(databases, tenant_id)
    await databases["campaigns"].execute(_CROWD, tenant_id, workspace_id, CROWD)  # no event tells of them
    words = names | await words_of(databases, tenant_id) | {"@crowd.example.com"}
    kept_rows = {"campaigns.contacts", "workspaces.workspaces", "auth.users", "tenants.tenants"}
    others = {name: n for name, n in (await all_counts(databases, stays)).items() if name in kept_rows}

    path = f"/tenants/{gone.tenant_id}/deletion"
    assert (await platform.post(gone, path, {"company_name": gone.company_name})).status_code == 201
    await databases["tenants"].execute(
        "UPDATE tenants.deletions SET erase_at = now(), next_step_at = now() WHERE tenant_id = $1", tenant_id
    )
    await kill_at_work(stack, databases["campaigns"], tenant_id)
    await erased_everywhere(databases, tenant_id)
    assert (await platform.get(gone, "/auth/me")).status_code == 401
    certificate = await run_out(databases, tenant_id)
    await run_out_of_topics(kafka, told, gone, certificate)

    erased = {name: n for one in certificate["services"].values() for name, n in one["erased"].items()}
    assert erased["campaigns.contacts"] == CROWD + 1, "each counted once, whoever was killed"
    named = {what for one in certificate["services"].values() for what in one["kept"]}
    named |= certificate["kept_beside"].keys()
    found: dict[str, set[str]] = {}
    for sql in databases.values():
        found |= await search(sql, words)
    assert found.keys() <= named, {name: found[name] for name in found.keys() - named}
    rest = set().union(*[await ids_of(sql, tenant_id) for sql in databases.values()])
    assert set().union(*found.values()) <= {word for one in rest for word in spellings(one)} | {
        gone.tenant_id
    }
    assert files_that_name(Path(stack.home.files), words) == []

    status, output = await run(stack, "deletion", "certificate", gone.tenant_id)
    assert (status, json.loads(output)) == (0, certificate)
    assert (await platform.get(stays, "/auth/me")).status_code == 200
    after = await all_counts(databases, stays)
    assert {name: after[name] for name in others} == others


async def words_of(databases: Databases, tenant_id: UUID) -> set[str]:
    """Every spelling of every id that the tenant has now."""
    ids = set().union(*[await ids_of(sql, tenant_id) for sql in databases.values()])
    return {word for one in ids for word in spellings(one)}


async def run_out_of_topics(kafka: str, words: set[str], gone: Tenant, certificate: dict[str, Any]) -> None:
    """Topics have the tenant's events still, and none on the day that the certificate names (ten days later
    than it says here); what tells of the erasure names the tenant's id, and nothing else of it."""
    kept = timedelta(milliseconds=int(topic_settings(timedelta(days=RETENTION_DAYS))["retention.ms"]))
    gone_at = datetime.fromisoformat(certificate["events_gone_at"]) + timedelta(days=10)
    own = {gone.tenant_id, *spellings(parse(Kind.TENANT, gone.tenant_id))}
    found = [record async for record in records_of(kafka) if named_in(record, words)]
    assert {outlives(record) for record in found} == {True, False}, "the positive control"
    for record in found:
        if outlives(record):
            assert named_in(record, words) <= own, record.value
        else:
            assert time_of(record) + kept < gone_at


async def records_of(kafka: str) -> AsyncIterator[Record]:
    """Every record of every topic, dead letters included, up to what is the end now."""
    reader: Any = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await reader.start()
    try:
        places = [TopicPartition(topic, number) for topic in all_topics() for number in range(PARTITIONS)]
        reader.assign(places)
        ends = {place: end for place, end in (await reader.end_offsets(places)).items() if end}
        async with asyncio.timeout(60):
            while ends:
                for place, records in (await reader.getmany(timeout_ms=1000)).items():
                    for record in records:
                        yield record
                    if records and records[-1].offset + 1 >= ends.get(place, 0):
                        ends.pop(place, None)
    finally:
        await reader.stop()


def named_in(record: Record, words: set[str]) -> set[str]:
    """Those of the words that stand in a record's key, headers or value."""
    parts = (record.key or b"", record.value or b"", *(value for _, value in record.headers))
    text = b"\n".join(parts).decode(errors="replace").lower()
    return {word for word in words if word.lower() in text}


def time_of(record: Record) -> datetime:
    return datetime.fromisoformat(dict(record.headers)["ce_time"].decode())


def outlives(record: Record) -> bool:
    """Whether it tells of the erasure itself, and so names nothing of the tenant but its id."""
    event = find_type(dict(record.headers)["ce_type"].decode())
    return event is not None and event.OUTLIVES_TENANT


async def kill_at_work(stack: Stack, sql: asyncpg.Connection, tenant_id: object) -> None:
    """Kill the campaigns service in the middle of its erasure."""

    async def under_way() -> bool:
        statement = "SELECT count(*) FROM campaigns.contacts WHERE tenant_id = $1"
        return await sql.fetchval(statement, tenant_id) < CROWD

    await eventually(under_way, within=30, every=0.005)
    old = stack.kill("campaigns")
    await asyncio.to_thread(stack.wait_ready, "campaigns", old)


async def erased_everywhere(databases: Databases, tenant_id: object) -> None:
    async def all_have_told() -> bool:
        return await databases["tenants"].fetchval(_ERASED, tenant_id) is not None

    await eventually(all_have_told, within=60, every=0.2)


async def run_out(databases: Databases, tenant_id: object) -> dict[str, Any]:
    """Be the retention of events, days later; returns the certificate that follows."""
    for sql in databases.values():
        await eventually(lambda sql=sql: _has_left(sql, tenant_id), within=30)
        for table in ("tenancy.outbox_history", "tenancy.inbox"):
            await sql.execute(f"DELETE FROM {table} WHERE tenant_id = $1", tenant_id)
    tenants = databases["tenants"]
    await tenants.execute(
        "UPDATE tenants.deletions SET erased_at = now() - interval '10 days', next_step_at = now() "
        "WHERE tenant_id = $1",
        tenant_id,
    )

    async def certified() -> str | None:
        statement = "SELECT certificate FROM tenants.deletions WHERE tenant_id = $1"
        found: str | None = await tenants.fetchval(statement, tenant_id)
        return found

    certificate: dict[str, Any] = json.loads(await eventually(certified, within=30))
    await eventually(lambda: _has_left(tenants, tenant_id), within=30)
    await tenants.execute("DELETE FROM tenancy.outbox_history WHERE tenant_id = $1", tenant_id)
    return certificate


async def _has_left(sql: asyncpg.Connection, tenant_id: object) -> bool:
    left = await sql.fetchval("SELECT count(*) FROM tenancy.outbox WHERE tenant_id = $1", tenant_id)
    return left == 0


def files_that_name(folder: Path, words: set[str]) -> list[str]:
    """Files below the folder with one of the words in their name or contents."""
    found: list[str] = []
    wanted = by_length(words)
    for path in folder.rglob("*"):
        text = str(path.relative_to(folder)) + (path.read_text(errors="replace") if path.is_file() else "")
        found += [str(path)] if words_in(text.lower(), wanted) else []
    return found
