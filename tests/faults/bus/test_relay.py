"""The relay dies at chosen points; nothing is lost, and nothing overtakes."""

import signal
from collections import Counter as Tally
from collections.abc import Callable

from tests.e2e.client import eventually
from tests.faults import chance
from tests.faults.bus import crashes
from tests.faults.bus.scene import Scene
from tests.faults.bus.verdict import judge_log


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


async def test_a_stopped_relay_that_comes_back_overtakes_nothing(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    counters = scene.counters(tenants=6, each=1)
    scene.start("consume")
    zombie = scene.start("relay", silence=2, batch=3)
    async with scene.load(counters):
        await scene.until_effects(20)
        zombie.signal(signal.SIGSTOP)
        scene.kills += 1
        office = await officer(scene)
        scene.start("relay")

        async def succeeded() -> bool:
            return await officer(scene) not in (None, office)

        await eventually(succeeded, within=20)
        await scene.until_effects(await scene.effects() + 20)
        zombie.signal(signal.SIGCONT)

        async def noticed() -> bool:
            return zombie.says("relay interrupted") > 0

        await eventually(noticed, within=20)
    verdict = await scene.settled()
    log = judge_log(scene.log)
    conclude(verdict, log=log)
    assert log["inverted"] == 0
    assert log["contiguous"]


async def officer(scene: Scene) -> int | None:
    """The backend of the active relay."""
    query = """
        SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
    pid: int | None = await scene.sql.fetchval(query)
    return pid


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
