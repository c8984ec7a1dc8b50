"""Consumers die, stall and hand over; every event has its effect once and in order."""

import asyncio
import signal
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence

import pytest

from common.bus.offsets import Offsets
from common.contracts.envelope import PARTITIONS
from tests.e2e.client import eventually
from tests.faults import chance
from tests.faults.bus import crashes, ledger
from tests.faults.bus.ledger import Counter
from tests.faults.bus.scene import PLACES, Replica, Scene

RESUMES_WITHIN = 3.0
"""Seconds from any kill to the next effects, when somebody is there to go on."""


async def test_a_consumer_killed_at_any_point_handles_each_event_once(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    """Each tenant's events are at least one transaction, so there are as many as any step needs."""
    counters = scene.counters(tenants=24, each=1)
    scene.start("relay")
    points: Tally[str] = Tally()
    for number in range(chance.runs(9)):
        point = list(crashes.CONSUMER)[number % len(crashes.CONSUMER)]
        step = 1 if point == "after offset" else scene.rng.randint(1, 20)
        consumer = scene.start("consume", crash=point, step=step)
        await scene.write(counters, 60)
        await scene.killed(consumer)
        points[point] += 1
    scene.start("consume")
    conclude(await scene.settled(), **points)


@pytest.mark.parametrize("other", ["replica", "restarted"])
async def test_handling_resumes_within_three_seconds_of_a_kill(
    scene: Scene, conclude: Callable[..., None], other: str
) -> None:
    """After each kill, until an event of every tenant, those that the dead one owned too, is written and
    handled."""
    counters = scene.counters(tenants=40, each=1)
    scene.start("relay")
    consumers = [scene.start("consume") for _ in range(2 if other == "replica" else 1)]
    gaps: list[float] = []
    for _ in range(min(chance.runs(3), 20)):
        await reach_all(scene, counters)
        victim = consumers.pop(0)
        began = time.monotonic()
        await victim.kill()
        scene.kills += 1
        if other == "restarted":
            consumers.append(scene.start("consume"))
        await reach_all(scene, counters)
        gaps.append(time.monotonic() - began)
        if other == "replica":
            consumers.append(scene.start("consume"))
    conclude(await scene.settled(), resumed_after=[round(gap, 2) for gap in gaps])
    assert max(gaps) <= RESUMES_WITHIN, gaps


async def reach_all(scene: Scene, counters: Sequence[Counter]) -> None:
    """One step of every counter, and its effect."""
    before = await scene.effects()
    for counter in counters:
        await ledger.step(scene.database, counter)
    await scene.until_effects(before + len(counters))


async def test_replicas_with_a_slow_handler_hand_over_back_and_forth(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    counters = scene.counters(tenants=12, each=1)
    scene.start("relay")
    stays = scene.start("consume", handler_seconds=0.15)
    ends: list[float] = []
    for _ in range(min(chance.runs(2), 20)):
        comes = scene.start("consume", handler_seconds=0.15)
        await scene.write(counters, 80)
        await shares(scene, 2)
        await scene.write(counters, 40)
        began = time.monotonic()
        stays.signal(signal.SIGTERM)
        assert await stays.ended() == 0
        ends.append(round(time.monotonic() - began, 2))
        stays = comes
    conclude(await scene.settled(), ended_after=ends)
    assert max(ends) < 10


async def assigned(consumer: Replica) -> None:
    """Wait until it owns partitions."""

    async def there() -> bool:
        return consumer.says("partitions assigned") > 0

    await eventually(there, within=20)


async def shares(scene: Scene, replicas: int) -> None:
    """Wait until so many replicas own partitions."""
    query = """
        SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
        AND objid < 1000 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """

    async def there() -> bool:
        return bool(await scene.sql.fetchval(query) == replicas)

    await eventually(there, within=20)


@pytest.mark.parametrize("moment", ["in the handler", "between events"])
async def test_a_stopped_owner_that_comes_back_doubles_nothing_and_moves_no_position(
    scene: Scene, conclude: Callable[..., None], moment: str
) -> None:
    counters = scene.counters(tenants=12, each=1)
    scene.start("relay")
    seconds = 0.3 if moment == "in the handler" else 0
    zombie = scene.start("consume", handler_seconds=seconds, silence=2)
    await assigned(zombie)
    await scene.write(counters, 60)
    await scene.until_effects(20)
    zombie.signal(signal.SIGSTOP)
    scene.kills += 1
    epochs = await positions(scene)
    scene.start("consume")
    await taken_over(scene, epochs)
    await scene.write(counters, 60)
    between = await positions(scene)
    zombie.signal(signal.SIGCONT)
    await comes_to(scene, zombie)
    after = await positions(scene)
    conclude(await scene.settled(), moment=moment)
    assert all(after[place] >= between[place] for place in between), "no position and no epoch goes back"


async def test_an_owner_that_hands_over_is_not_taken_for_dead_while_a_handler_works(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    """The handler takes longer than the database bears silence, when another replica asks for its share."""
    counters = scene.counters(tenants=8, each=1)
    scene.start("relay")
    owner = scene.start("consume", handler_seconds=3, silence=2)
    await assigned(owner)
    await scene.write(counters, 8)
    scene.start("consume")
    await shares(scene, 2)
    assert owner.says("consumer interrupted") == 0
    conclude(await scene.settled())


async def test_a_newcomer_does_not_wait_for_a_hot_tenant(scene: Scene, conclude: Callable[..., None]) -> None:
    """What has not begun is left to the newcomer; the owner finishes one handler, not its queue.

    The hot tenant's partition is one of those that the newcomer gets.
    """
    made = scene.counters(tenants=60, each=1)
    hot = next(counter for counter in made if ledger.place(counter[0]) >= PARTITIONS // 2)
    others = [counter for counter in made if ledger.place(counter[0]) != ledger.place(hot[0])][:12]
    scene.start("relay")
    await scene.write([hot], 80, writers=1)
    scene.start("consume", handler_seconds=0.1)
    await scene.until_effects(1)
    scene.start("consume", handler_seconds=0.1)
    await shares(scene, 2)
    await scene.write(others, 24)
    await scene.until_effects(24, of=others)
    left = 80 - await scene.effects([hot])
    conclude(await scene.settled(), hot_left=left)
    assert left > 20, left


async def test_an_owner_of_an_older_epoch_moves_no_position(scene: Scene) -> None:
    offsets, place = Offsets(ledger.NAME), PLACES[0]
    cluster = await scene.cluster.current_id()
    async with asyncio.timeout(10):
        old = await offsets.take_over(scene.sql, place, cluster)
        new = await offsets.take_over(scene.sql, place, cluster)
        old.next_offset += 5
        await offsets.store(scene.sql, {place: old})
    assert (await positions(scene))[place.partition] == (new.epoch, new.next_offset)


async def positions(scene: Scene) -> dict[int, tuple[int, int]]:
    """Epoch and position of each partition."""
    query = "SELECT partition, epoch, next_offset FROM tenancy.consumer_offsets WHERE consumer = $1"
    rows = await scene.sql.fetch(query, ledger.NAME)
    return {row["partition"]: (row["epoch"], row["next_offset"]) for row in rows}


async def taken_over(scene: Scene, before: dict[int, tuple[int, int]]) -> None:
    """Wait until every partition has a new owner."""

    async def there() -> bool:
        now = await positions(scene)
        return all(now[place][0] > epoch for place, (epoch, _) in before.items())

    await eventually(there, within=20)


async def comes_to(scene: Scene, zombie: Replica) -> None:
    """Wait until the one that was away has noticed it and has begun again."""

    async def noticed() -> bool:
        return zombie.says("consumer interrupted") > 0

    await eventually(noticed, within=20)
    await shares(scene, 2)
