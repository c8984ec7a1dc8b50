"""Any sequence of commits, kills, rewinds and rebalances ends where the model does."""

import asyncio
import os
from collections import Counter as Tally
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.faults import chance
from tests.faults.bus import crashes, ledger
from tests.faults.bus.scene import Replica, Scene

EXAMPLES = int(os.environ.get("FAULT_RUNS", "20")) // 4
MOST = 3
"""Replicas of the consumer at once."""


class Sequences(RuleBasedStateMachine):
    """Real processes; between two rules they go on as they like."""

    scene: Scene
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.model: Tally[ledger.Counter] = Tally()
        self.counters = self.scene.counters(tenants=3, each=2)
        self.relays: list[Replica] = []
        self.consumers: list[Replica] = []

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(90)

    @rule(number=st.integers(0, 5), steps=st.integers(1, 6))
    def commit(self, number: int, steps: int) -> None:
        for _ in range(steps):
            version = self.wait(ledger.step(self.scene.database, self.counters[number]))
            self.model[self.counters[number]] += 1
            assert version == self.model[self.counters[number]]

    @precondition(lambda self: len(self.relays) < 2)
    @rule(point=st.sampled_from([None, *crashes.RELAY]), step=st.integers(1, 3), batch=st.integers(1, 5))
    def relay(self, point: str | None, step: int, batch: int) -> None:
        """Start one, perhaps doomed."""
        self.relays.append(self.scene.start("relay", batch=batch, **fate(point, step)))

    @precondition(lambda self: len(self.consumers) < MOST)
    @rule(point=st.sampled_from([None, *crashes.CONSUMER]), step=st.integers(1, 6))
    def rebalance(self, point: str | None, step: int) -> None:
        """Start a consumer, perhaps doomed; it asks the others for its share."""
        self.consumers.append(self.scene.start("consume", **fate(point, step)))

    @precondition(lambda self: self.relays or self.consumers)
    @rule(number=st.integers(0, MOST + 1))
    def crash(self, number: int) -> None:
        victims = self.relays if self.relays and number % 2 else self.consumers or self.relays
        self.scene.kills += 1
        self.wait(victims.pop(number % len(victims)).kill())

    @rule()
    def duplicate(self) -> None:
        """The owner's position is lost, and everything comes again, perhaps under its next owner only."""
        self.wait(self.scene.rewind())

    def teardown(self) -> None:
        """The doomed are replaced, and everything comes to rest."""
        for replica in (*self.relays, *self.consumers):
            self.wait(replica.kill())
        ends = [self.scene.start("relay"), self.scene.start("consume")]
        verdict = self.wait(self.scene.settled()) if self.model else None
        for replica in ends:
            self.wait(replica.kill())
        assert verdict is None or verdict.clean, verdict
        query = "SELECT count(*) FROM ledger.effects WHERE counter_id = ANY($1)"
        mine = [counter for _, counter in self.counters]
        assert self.wait(self.scene.sql.fetchval(query, mine)) == self.model.total()


def fate(point: str | None, step: int) -> dict[str, Any]:
    """Options of a replica that will die at the point, if any."""
    return {} if point is None else {"crash": point, "step": step}


async def test_any_sequence_of_faults_ends_where_the_model_does(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    Sequences.scene, Sequences.loop = scene, asyncio.get_running_loop()
    bounds = settings(
        max_examples=EXAMPLES,
        stateful_step_count=10,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, seed(chance.seed())(Sequences), settings=bounds)
    scene.start("relay")
    scene.start("consume")
    await ledger.step(scene.database, scene.counters(tenants=1, each=1)[0])
    conclude(await scene.settled(), sequences=EXAMPLES)
