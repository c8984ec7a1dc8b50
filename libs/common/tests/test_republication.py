"""History that an operator has published again, and that what operators begin is recorded."""

import asyncio
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from libs.common.tests.backbone import Databases, published, reading, running, until, update, write
from libs.common.tests.desk import Desk
from libs.common.tests.test_backbone import outbox_holds

from common import clock
from common.bus import relay as relay_module
from common.bus import republication
from common.bus.kafka import Cluster
from common.bus.relay import Relay
from common.contracts.envelope import Envelope, tenant_key
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.settings import ServiceSettings


def facts(envelopes: list[Envelope]) -> list[tuple[UUID, int, str]]:
    return [(one.event_id, one.sequence, one.subject) for one in envelopes]


async def test_history_is_published_again_with_its_ids_and_numbers_while_events_flow(
    database: Database,
    settings: ServiceSettings,
    cluster: Cluster,
    service_database: Databases,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "BATCH", 3)
    tenant, workspaces = new_id(), [new_id() for _ in range(4)]
    before, made = [update(tenant, one, 1) for one in workspaces], await service_database("workspaces")
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        await write(database, tenant, *before)
        await outbox_holds(made, tenant, 0)
        since = clock.now()
        await write(
            database, tenant, *(update(tenant, one, number) for number in (2, 3) for one in workspaces)
        )
        first = await published(settings, tenant, 12)
        await outbox_holds(made, tenant, 0)
        words = ("replay", "--publish", "--from", f"{since:%Y-%m-%dT%H:%M:%S.%fZ}")
        (counted,) = await desk.says(*words, "--dry-run")
        assert (counted["first"], counted["events"]) == (first[4].sequence, 8)
        (again,), _ = await asyncio.gather(
            desk.says(*words), write(database, tenant, *(update(tenant, one, 4) for one in workspaces))
        )
        found = await published(settings, tenant, 12 + 4 + again["events"])
        number = first[0].sequence
        (left,) = await desk.says("replay", "--publish", "--numbers", f"{number}-{number}")
        assert (left["events"], left["first"]) == (1, number)
        (late,) = facts((await published(settings, tenant, len(found) + 1))[len(found) :])
    told = facts(found)
    assert told[:12] == facts(first)
    new = [fact for fact in told[12:] if fact not in told[:12]]
    repeated = [fact for fact in told[12:] if fact in told[:12]]
    assert repeated == facts(first)[4:], "each once, in its order, with its id and number"
    assert len(set(new)) == 4, "what was written meanwhile is published beside it"
    assert late == facts(first)[0]
    assert [(name, event["first"]) for name, event in await desk.actions(PLATFORM_TENANT)] == [
        ("HistoryPublishedAgain", first[4].sequence),
        ("HistoryPublishedAgain", number),
    ]


async def test_nothing_is_published_again_of_what_the_history_has_not(desk: Desk) -> None:
    later = clock.now() + timedelta(days=1)
    assert await desk.says("replay", "--publish", "--from", f"{later:%Y-%m-%dT%H:%M:%SZ}") == [
        {"dry_run": False, "events": 0}
    ]
    assert "17-20" in await desk.refuses("replay", "--publish", "--numbers", "17")
    assert "--publish" in await desk.refuses("replay", "--numbers", "17-20")
    assert await desk.actions(PLATFORM_TENANT) == []


async def test_a_second_wish_waits_for_the_end_of_the_first(
    desk: Desk, database: Database, settings: ServiceSettings, cluster: Cluster, service_database: Databases
) -> None:
    tenant, made = new_id(), await service_database("workspaces")
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        await write(database, tenant, update(tenant, new_id(), 1))
        await outbox_holds(made, tenant, 0)
    connection = await asyncpg.connect(made.superuser_url)
    number = await connection.fetchval("SELECT max(sequence) FROM tenancy.outbox_history")
    await connection.execute(
        "UPDATE tenancy.relay_state SET again_from = $1, again_next = $1, again_to = $1", number
    )
    assert "already" in await desk.refuses("replay", "--publish", "--all")
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        await published(settings, tenant, 2)
        await until(partial(is_over, connection))
    state = await connection.fetchrow("SELECT again_from, again_next, again_to FROM tenancy.relay_state")
    assert tuple(state) == (None, None, None)
    await connection.close()


async def test_a_relay_that_leaves_does_not_stay_for_a_wish(
    desk: Desk,
    database: Database,
    settings: ServiceSettings,
    cluster: Cluster,
    service_database: Databases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its successor goes on with it. Here the wish has no end, for what is done is not noted."""
    tenant, made = new_id(), await service_database("workspaces")
    relay = Relay("workspaces", settings, cluster, database.events_written)
    async with running(relay.run()) as (task,):
        await write(database, tenant, update(tenant, new_id(), 1))
        await outbox_holds(made, tenant, 0)
        with monkeypatch.context() as patched:
            patched.setattr(republication, "note_done", _forget)
            (one,) = await published(settings, tenant, 1)
            words = ("replay", "--publish", "--numbers", f"{one.sequence}-{one.sequence}")
            wishing = asyncio.create_task(desk.says(*words))
            await published(settings, tenant, 3)
            relay.leave()
            await asyncio.wait_for(asyncio.shield(task), 5)
        async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
            (told,) = await wishing
    assert told["events"] == 1


async def _forget(*_: object) -> None:
    """Note nothing."""


async def test_who_replays_or_tells_a_snapshot_is_recorded_and_who_only_counts_is_not(
    desk: Desk, service_database: Databases
) -> None:
    tenant = new_id()
    connection = await asyncpg.connect((await service_database("workspaces")).superuser_url)
    heard_of = "INSERT INTO tenancy.inbox (tenant_id, consumer, event_id) VALUES ($1, 'workspaces', uuidv7())"
    await connection.execute(heard_of, tenant)
    await connection.close()
    since = "2026-01-31T12:00:00Z"
    await desk.says("replay", "--from", since, "--dry-run")
    await desk.says("snapshot", "--tenant", to_text(Kind.TENANT, tenant), "--dry-run")
    assert await desk.actions(PLATFORM_TENANT) == await desk.actions(tenant) == []
    await desk.says("replay", "--from", since)
    await desk.says("snapshot", "--tenant", to_text(Kind.TENANT, tenant))
    ((name, event),) = await desk.actions(PLATFORM_TENANT)
    assert (name, event["service"], event["since"]) == ("LogReplayed", "workspaces", since)
    ((name, event),) = await desk.actions(tenant)
    assert (name, event["service"]) == ("StateTold", "workspaces")


async def test_what_is_published_again_runs_out_when_the_first_publication_does(
    database: Database, settings: ServiceSettings, cluster: Cluster, service_database: Databases, desk: Desk
) -> None:
    """The broker counts retention from the record's time, a certificate of erasure from the erasure, the
    inbox from the first handling: neither may end before the record does."""
    tenant, made = new_id(), await service_database("workspaces")
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        await write(database, tenant, update(tenant, new_id(), 1))
        await outbox_holds(made, tenant, 0)
        connection = await asyncpg.connect(made.superuser_url)
        await connection.execute(
            "UPDATE tenancy.outbox_history SET published_at = published_at - interval '1 day', "
            "occurred_at = occurred_at - interval '1 day' WHERE tenant_id = $1",
            tenant,
        )
        number = await connection.fetchval(
            "SELECT sequence FROM tenancy.outbox_history WHERE tenant_id = $1", tenant
        )
        await desk.says("replay", "--publish", "--numbers", f"{number}-{number}")
        times: list[int] = []
        async with reading(settings) as reader, asyncio.timeout(20):
            while len(times) < 2:
                for records in (await reader.getmany(timeout_ms=200)).values():
                    times += [one.timestamp for one in records if one.key == tenant_key(tenant).encode()]
        await until(partial(is_over, connection))
        await connection.close()
    assert times[1] < (clock.now().timestamp() - 43_200) * 1000, "the time of the first publication"


async def is_over(connection: asyncpg.Connection) -> bool:
    """Whether nobody wishes history to be published again."""
    return await republication.next_rows(connection, 1) is None
