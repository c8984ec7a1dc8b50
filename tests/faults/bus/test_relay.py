"""The relay dies at chosen points; nothing is lost, and nothing overtakes."""

from collections import Counter as Tally
from collections.abc import Callable

from tests.faults.bus import crashes, ledger
from tests.faults.bus.scene import Scene
from tests.faults.bus.verdict import judge_log


async def test_a_relay_killed_at_any_point_loses_doubles_and_inverts_nothing(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    counters = scene.counters(tenants=6, each=2)
    scene.start("consume")
    points: Tally[str] = Tally()
    for number in range(ledger.runs(12)):
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


async def test_writers_that_take_their_ids_early_and_commit_late_lose_and_invert_nothing(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    counters = scene.counters(tenants=4, each=3)
    scene.start("relay", batch=5)
    scene.start("consume")

    def pace() -> dict[str, float]:
        return {"early": scene.rng.choice([0, 0.001, 0.01]), "late": scene.rng.choice([0, 0.001, 0.02])}

    await scene.write(counters, 20 * ledger.runs(20), pace=pace)
    verdict = await scene.settled()
    log = judge_log(scene.log)
    conclude(verdict, writers=8, log=log)
    assert log["inverted"] == 0
    assert log["contiguous"]
