"""Events that cannot be handled, events that come again, and a broker that goes away."""

import os
import time
from collections.abc import Callable

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError

from common.bus.kafka import make_producer
from tests.e2e.client import eventually
from tests.faults import chance
from tests.faults.bus import ledger
from tests.faults.bus.broker import Broker
from tests.faults.bus.scene import Scene

_BOOKS = """
SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM (
    SELECT 'effect', e::text FROM ledger.effects AS e UNION ALL
    SELECT 'inbox', i::text FROM tenancy.inbox AS i UNION ALL
    SELECT 'letter', d::text FROM tenancy.dead_letters AS d UNION ALL
    SELECT 'told', h::text FROM tenancy.outbox_history AS h UNION ALL
    SELECT 'to tell', o::text FROM tenancy.outbox AS o) AS t
"""


@pytest.mark.parametrize("name", [ledger.POISON, ledger.INVALID])
async def test_poison_becomes_a_dead_letter_and_delays_nobody(
    scene: Scene, conclude: Callable[..., None], name: str
) -> None:
    """A bug has five attempts, and later events of the counter wait for its mend; after a refusal, which no
    mend makes good, they go on. Other counters go on in both cases."""
    sick, *others = scene.counters(tenants=6, each=1)
    scene.start("relay")
    scene.start("consume")
    await ledger.step(scene.database, sick)
    await ledger.step(scene.database, sick, name=name)
    await ledger.step(scene.database, sick)
    await scene.write(others, 40)
    holds = name == ledger.POISON
    await scene.until_effects(41 if holds else 42)
    buried = "SELECT consumer, reason, attempts, waiting FROM tenancy.dead_letters ORDER BY place"

    async def letters() -> list[asyncpg.Record] | None:
        found = await scene.sql.fetch(buried)
        return found if len(found) == (2 if holds else 1) else None

    letter, *behind = await eventually(letters)
    assert [row["waiting"] for row in behind] == [True] * holds
    reason, attempts = ("RuntimeError", 5) if holds else ("Invalid", 5)
    assert (letter["consumer"], letter["reason"], letter["attempts"]) == (ledger.NAME, reason, attempts)
    steps = "SELECT array_agg(version ORDER BY place) FROM ledger.effects WHERE counter_id = $1"
    assert await scene.sql.fetchval(steps, sick[1]) == ([1] if holds else [1, 3])
    told = await scene.sql.fetchval(
        "SELECT count(*) FROM tenancy.outbox_history WHERE topic = $1", f"{ledger.TOPIC}.dlq"
    )
    await scene.sql.execute("DELETE FROM ledger.counters WHERE counter_id = $1", sick[1])
    await scene.sql.execute("DELETE FROM ledger.effects WHERE counter_id = $1", sick[1])
    conclude(await scene.settled(), dead_letters=1, waiting=len(behind), told=told)


async def test_a_replay_from_the_beginning_changes_nothing(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    """Once with one replica, once killed in the middle of it. (A hundred events that wait are handled
    together, but ten transactions they are.)"""
    counters = scene.counters(tenants=6, each=2)
    scene.start("relay")
    first = scene.start("consume")
    await scene.write(counters, 100)
    await ledger.step(scene.database, counters[0], name=ledger.INVALID)
    await scene.until_effects(100)
    await scene.waited_for()
    books = await scene.sql.fetchval(_BOOKS)
    for options in ({}, {"crash": "after commit, before offset", "step": scene.rng.randint(1, 10)}):
        await first.kill()
        await scene.rewind()
        first = scene.start("consume", **options)
        if options:
            await scene.killed(first)
            first = scene.start("consume")
        await scene.waited_for()
        assert await scene.sql.fetchval(_BOOKS) == books
    await scene.sql.execute(
        "UPDATE ledger.counters SET version = version - 1 WHERE counter_id = $1", counters[0][1]
    )
    conclude(await scene.settled())


@pytest.mark.skipif("TEST_KAFKA_BOOTSTRAP" in os.environ, reason="kills its own broker only")
async def test_a_broker_killed_under_load_is_caught_up_with(
    scene: Scene, broker: Broker, conclude: Callable[..., None]
) -> None:
    """Nothing is lost, doubled or out of order, and what was written meanwhile is handled within 30 s of the
    broker's return.

    Where the log is gone, what was published is published again, and no relay that reconnects writes in
    front of it.
    Kills come in pairs, the second perhaps before the first is caught up with. Between pairs the history's
    retention ends: how long a new log takes follows from how much of it there is.
    """
    counters = scene.counters(tenants=6, each=2)
    scene.start("relay")
    scene.start("consume")
    gaps: list[float] = []
    for _ in range(min(chance.runs(2), 20)):
        async with scene.load(counters):
            await scene.until_effects(await scene.effects() + 30)
            broker.kill()
            scene.kills += 1
            late = scene.counters(tenants=6, each=1)
            await scene.write(late, 20)
            broker.start()
            await broker.returned()
            began = time.monotonic()
            await scene.until_effects(20, within=30, of=late)
            gaps.append(round(time.monotonic() - began, 2))
        if scene.kills % 2 == 0:
            await rest(scene, broker)
    await rest(scene, broker)
    conclude(await scene.settled(), resumed_after=gaps)


async def rest(scene: Scene, broker: Broker) -> None:
    """Until everything is handled; then nothing is left of the history."""
    if not broker.keeps_its_log:
        scene.read_anew()
    await scene.waited_for()
    await scene.sql.execute("DELETE FROM tenancy.outbox_history")


@pytest.mark.skipif("TEST_KAFKA_BOOTSTRAP" in os.environ, reason="kills its own broker only")
async def test_a_producer_for_the_log_before_the_restart_is_turned_away(scene: Scene, broker: Broker) -> None:
    if broker.keeps_its_log:
        pytest.skip("runs on the memory-only broker, the one that loses its log")
    stale = make_producer(scene.settings, "pm-before")
    with pytest.raises(KafkaConnectionError):
        await stale.start()
    await stale.stop()
    fresh = make_producer(scene.settings, await scene.cluster.current_id())
    await fresh.start()
    await fresh.stop()
