"""The relay dies at chosen points; nothing is lost, and nothing overtakes."""

import signal
import time
from collections import Counter as Tally
from collections.abc import Callable

from tests.e2e.client import eventually
from tests.faults import chance
from tests.faults.bus import crashes
from tests.faults.bus.scene import Replica, Scene
from tests.faults.bus.verdict import judge_log

REPLACED_WITHIN = 5.0
"""Seconds from the stop of an active relay to the next events published, when another stands by."""
BATCH = 3


async def test_a_relay_killed_at_any_point_loses_doubles_and_inverts_nothing(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    counters = scene.counters(tenants=6, each=2)
    scene.start("consume")
    points: Tally[str] = Tally()
    for number in range(chance.runs(12)):
        point = list(crashes.RELAY)[number % len(crashes.RELAY)]
        batch, step = scene.rng.choice([(1, 17), (3, 7), (7, 3), (500, 1)])
        relay = scene.start("relay", crash=point, step=scene.rng.randint(1, step), batch=batch)
        await scene.write(counters, 40)
        await scene.killed(relay)
        points[point] += 1
    scene.start("relay")
    verdict = await scene.settled()
    log = judge_log(scene.log)
    conclude(verdict, **points, log=log)
    assert log["distinct"] == verdict.events
    assert log["inverted"] == 0
    assert log["contiguous"], "a second publication carries the number of the first"


async def test_a_stopped_relay_is_replaced_in_time_and_overtakes_nothing_when_it_comes_back(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    """Under load; the time is that until more is confirmed than the stopped one can have asked for. (An event
    of after the stop would have to wait for all that was written meanwhile, too.)"""
    counters = scene.counters(tenants=6, each=1)
    scene.start("consume")
    zombie = scene.start("relay", batch=BATCH)
    gaps: list[float] = []
    for _ in range(min(chance.runs(1), 20)):
        async with scene.load(counters):
            await scene.until_effects(await scene.effects() + 20)
            successor = scene.start("relay", batch=BATCH)
            await stands_by(scene)
            noticed = zombie.says("relay interrupted")
            zombie.signal(signal.SIGSTOP)
            scene.kills += 1
            began = time.monotonic()
            await publishes(scene, 10 * BATCH)
            gaps.append(round(time.monotonic() - began, 2))
            await scene.until_effects(await scene.effects() + 20)
            zombie.signal(signal.SIGCONT)
            await comes_to(zombie, noticed)
        zombie.signal(signal.SIGTERM)
        await zombie.ended()
        zombie = successor
    verdict = await scene.settled()
    log = judge_log(scene.log)
    conclude(verdict, log=log, replaced_after=gaps)
    assert log["inverted"] == 0
    assert log["contiguous"]
    assert max(gaps) <= REPLACED_WITHIN, gaps


async def publishes(scene: Scene, events: int) -> None:
    """Wait until so many more are confirmed."""
    query = "SELECT count(*) FROM tenancy.outbox_history"
    before = await scene.sql.fetchval(query)

    async def there() -> bool:
        return bool(await scene.sql.fetchval(query) >= before + events)

    await eventually(there, within=20, every=0.05)


async def stands_by(scene: Scene) -> None:
    """Wait until a relay asks for the office that another has."""
    query = """
        SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE '%pg_try_advisory_lock($1)%' AND pid <> pg_backend_pid())
    """

    async def there() -> bool:
        return bool(await scene.sql.fetchval(query))

    await eventually(there, within=20)


async def comes_to(zombie: Replica, before: int) -> None:
    """Wait until the one that was away has noticed it."""

    async def noticed() -> bool:
        return zombie.says("relay interrupted") > before

    await eventually(noticed, within=20)


async def test_writers_that_take_their_ids_early_and_commit_late_lose_and_invert_nothing(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    counters = scene.counters(tenants=4, each=3)
    scene.start("relay", batch=5)
    scene.start("consume")

    def pace() -> dict[str, float]:
        return {"early": scene.rng.choice([0, 0.001, 0.01]), "late": scene.rng.choice([0, 0.001, 0.02])}

    await scene.write(counters, 20 * chance.runs(20), pace=pace)
    verdict = await scene.settled()
    log = judge_log(scene.log)
    conclude(verdict, writers=8, log=log)
    assert log["inverted"] == 0
    assert log["contiguous"]
