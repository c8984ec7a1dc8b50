"""What has served its time is forgotten, of the tenant whose it is; what has not is kept."""

import json
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from common import clock
from common.contracts.audit import AuditLogTrimmed
from common.contracts.tenants import TenantFeaturesUpdated
from common.ids import PLATFORM_TENANT, new_id
from common.testing.harness import FEATURES, MadeTenant
from common.upkeep import Upkeep
from tests.isolation.installation import World

DAY = timedelta(days=1)
_KEY = """
INSERT INTO tenancy.idempotency_keys (tenant_id, principal, route, key, request_hash, created_at)
VALUES ($1, 'age', '/age', $2, sha256('age'), $3)
"""
_REVOCATION = "INSERT INTO tenancy.revocations (tenant_id, session_id, revoked_at) VALUES ($1, $2, $3)"
_INBOX = "INSERT INTO tenancy.inbox (tenant_id, consumer, event_id, handled_at) VALUES ($1, $2, $3, $4)"
_EVENT = """
INSERT INTO audit.events (tenant_id, event_id, occurred_at, action, actor_type, outcome, severity, source)
VALUES ($1, $2, $3, 'campaign.created', 'system', 'success', 'info', 'campaigns')
"""
_CONTEXT = """
INSERT INTO audit.action_contexts
    (tenant_id, event_id, occurred_at, ip, user_agent, method, route, request_id)
VALUES ($1, $2, $3, '', '', 'POST', '/', 'age')
"""
_VERDICT = """
INSERT INTO audit.verdicts (tenant_id, event_id, occurred_at, revision, flag, severity)
VALUES ($1, $2, $3, 1, 'none', 'info')
"""


_OPEN_ACCESS = """
INSERT INTO audit.open_accesses (tenant_id, event_id, resource, occurred_at, kind, writes, actor)
VALUES ($1, $2, 'campaign/none', $3, 'missed', false, '{}')
"""
_QUARANTINE = """
INSERT INTO audit.quarantine
    (tenant_id, digest, topic, partition, position, headers, reason, quarantined_at)
VALUES ($1, sha256($2::text::bytea), 'penguinmails.users', 0, 0, '[]', 'unreadable', $3)
"""
_OWNERSHIP = "INSERT INTO audit.ownership (resource, tenant_id, died_at) VALUES ($2, $1, $3)"


def made_ago(age: timedelta) -> UUID:
    """An identifier made so long ago."""
    millis = int((clock.now() - age).timestamp() * 1000)
    return UUID(int=(millis << 80) | (new_id().int & ((1 << 80) - 1)))


async def keys_of(sql: asyncpg.Connection, tenant: MadeTenant) -> set[str]:
    statement = "SELECT key FROM tenancy.idempotency_keys WHERE tenant_id = $1"
    return {row["key"] for row in await sql.fetch(statement, tenant.tenant_id)}


async def ids_in(sql: asyncpg.Connection, table: str, column: str, tenant: MadeTenant) -> set[UUID]:
    rows = await sql.fetch(f"SELECT {column} AS id FROM {table} WHERE tenant_id = $1", tenant.tenant_id)
    return {row["id"] for row in rows}


async def pair(world: World) -> list[MadeTenant]:
    return [await world.harness.make_tenant(name) for name in ("Tidied", "Left alone")]


@pytest.mark.parametrize("world", ["workspaces"], indirect=True)
async def test_the_kernels_tables_do_not_grow_for_ever(world: World, superuser: asyncpg.Connection) -> None:
    now, (mine, theirs) = clock.now(), await pair(world)
    young, old = new_id(), new_id()
    late, replayed, done = made_ago(30 * DAY), made_ago(8 * DAY), made_ago(10 * DAY)
    for tenant in (mine, theirs):
        await superuser.execute(_KEY, tenant.tenant_id, "young", now - timedelta(hours=23))
        await superuser.executemany(
            _KEY, [(tenant.tenant_id, f"old {n}", now - timedelta(hours=25)) for n in range(5)]
        )
        await superuser.execute(_REVOCATION, tenant.tenant_id, young, now - timedelta(hours=1))
        await superuser.execute(_REVOCATION, tenant.tenant_id, old, now - 2 * DAY)
        for event_id, handled in ((late, now), (replayed, now - 8 * DAY), (done, now - 10 * DAY)):
            await superuser.execute(_INBOX, tenant.tenant_id, world.service, event_id, handled)
    await Upkeep(world.harness.kernel, batch=2).tidy(mine.tenant_id)
    assert await keys_of(superuser, mine) == {"young"}
    assert await ids_in(superuser, "tenancy.revocations", "session_id", mine) == {young}
    assert await ids_in(superuser, "tenancy.inbox", "event_id", mine) == {late, replayed}
    assert len(await keys_of(superuser, theirs)) == 6
    assert await ids_in(superuser, "tenancy.revocations", "session_id", theirs) == {young, old}
    assert await ids_in(superuser, "tenancy.inbox", "event_id", theirs) == {late, replayed, done}
    await Upkeep(world.harness.kernel).tidy(PLATFORM_TENANT)


@pytest.mark.parametrize("world", ["audit"], indirect=True)
async def test_the_log_keeps_what_its_tenants_feature_says_and_proof_of_the_rest(
    world: World, superuser: asyncpg.Connection
) -> None:
    now, (mine, theirs) = clock.now(), await pair(world)
    days = [(now - age * DAY).date() for age in (8, 6)]
    await superuser.execute("SELECT audit.ensure_days($1)", days)
    upkeep = Upkeep(world.harness.kernel, world.harness.service.forgetting)
    old, young = (made_ago(8 * DAY), now - 8 * DAY), (made_ago(6 * DAY), now - 6 * DAY)
    for tenant in (mine, theirs):
        for event_id, at in (old, young):
            for statement in (_EVENT, _CONTEXT, _VERDICT):
                await superuser.execute(statement, tenant.tenant_id, event_id, at)
    await upkeep.tidy(mine.tenant_id)
    assert len(await ids_in(superuser, "audit.events", "event_id", mine)) == 2, "its plan keeps 90 days"

    week = FEATURES.model_copy(update={"data_retention_days": 7})
    told = TenantFeaturesUpdated(tenant_id=mine.tenant_id, version=2, features=week)
    await world.harness.handle(mine.tenant_id, told)
    for _ in range(2):
        for tenant in (mine, theirs):
            await upkeep.tidy(tenant.tenant_id)
    for table in ("audit.events", "audit.action_contexts", "audit.verdicts"):
        assert await ids_in(superuser, table, "event_id", mine) == {young[0]}, table
        assert await ids_in(superuser, table, "event_id", theirs) == {old[0], young[0]}, table
    proofs = await superuser.fetch(
        "SELECT tenant_id, data FROM tenancy.outbox WHERE type = $1 AND tenant_id = ANY ($2)",
        *(AuditLogTrimmed.ce_type(), [mine.tenant_id, theirs.tenant_id]),
    )
    (proof,) = [AuditLogTrimmed.model_validate(json.loads(row["data"])) for row in proofs]
    assert (proof.tenant_id, proof.retention_days, proof.events) == (mine.tenant_id, 7, 1)
    assert proof.first == proof.last == old[1]


@pytest.mark.parametrize("world", ["audit"], indirect=True)
async def test_retention_takes_what_is_kept_beside_the_log_too(
    world: World, superuser: asyncpg.Connection
) -> None:
    now, (mine, theirs) = clock.now(), await pair(world)
    week = FEATURES.model_copy(update={"data_retention_days": 7})
    told = TenantFeaturesUpdated(tenant_id=mine.tenant_id, version=2, features=week)
    await world.harness.handle(mine.tenant_id, told)
    for tenant in (mine, theirs):
        for age in (6, 8):
            at = now - age * DAY
            await superuser.execute(_OPEN_ACCESS, tenant.tenant_id, made_ago(age * DAY), at)
            await superuser.execute(_QUARANTINE, tenant.tenant_id, str(age), at)
            for died_at in (at, at - 30 * DAY, None):
                await superuser.execute(_OWNERSHIP, tenant.tenant_id, f"campaign/{new_id()}", died_at)
    for tenant in (mine, theirs):
        await Upkeep(world.harness.kernel, world.harness.service.forgetting).tidy(tenant.tenant_id)

    async def left(tenant: MadeTenant) -> list[int]:
        statement = "SELECT count(*) FROM audit.{} WHERE tenant_id = $1"
        tables = ("open_accesses", "quarantine", "ownership")
        return [await superuser.fetchval(statement.format(name), tenant.tenant_id) for name in tables]

    assert await left(mine) == [1, 1, 5]
    assert await left(theirs) == [2, 2, 6]
    proofs = await superuser.fetch(
        "SELECT data FROM tenancy.outbox WHERE type = $1 AND tenant_id = ANY ($2)",
        *(AuditLogTrimmed.ce_type(), [mine.tenant_id, theirs.tenant_id]),
    )
    told_of = [AuditLogTrimmed.model_validate(json.loads(row["data"])) for row in proofs]
    assert [(one.tenant_id, one.events, one.records) for one in told_of] == [(mine.tenant_id, 0, 1)] * 3
