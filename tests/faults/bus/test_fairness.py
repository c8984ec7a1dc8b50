"""A tenant with thousands of events waiting delays nobody else by more than a few handlers."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from statistics import quantiles
from typing import Any

import pytest

from common import clock
from common.bus.consumer import Consumer
from common.bus.kafka import make_producer
from common.bus.lanes import WORKERS, Lanes
from common.contracts.envelope import Envelope
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import TenantSession
from common.ids import new_id
from tests.e2e.client import eventually
from tests.faults.bus import ledger
from tests.faults.bus.ledger import Counter
from tests.faults.bus.scene import Scene
from tests.faults.bus.verdict import judge

WAITING = int(os.environ.get("FAULT_HOT_EVENTS", "3000"))
"""Events of the hot tenant that wait all the time."""
COLD = 40


def envelope(counter: Counter, version: int) -> Envelope:
    """An event as a relay would publish it."""
    tenant_id, counter_id = counter
    event = WorkspaceUpdated(
        tenant_id=tenant_id, workspace_id=counter_id, version=version, name="step", slug="s"
    )
    data = event.model_dump_json().encode()
    subject = event.subject
    return Envelope(new_id(), ledger.SOURCE, event.ce_type(), clock.now(), subject, tenant_id, version, data)


class Rounds:
    """A consumer in this process; remembers in which order events were handled."""

    def __init__(self, scene: Scene) -> None:
        self.handled: list[Counter] = []
        self.turns = 0
        """Transactions that began to handle something."""
        self.least = WAITING
        """Fewest events that waited while some always should have."""
        self._session: TenantSession | None = None
        lanes = Lanes(ledger.NAME, scene.database, {WorkspaceUpdated: self._handle})
        self._consumer = Consumer(ledger.NAME, scene.settings, scene.cluster, [ledger.TOPIC], lanes)
        self._scene = scene

    async def _handle(self, session: TenantSession, event: WorkspaceUpdated) -> None:
        if session is not self._session:
            self._session, self.turns = session, self.turns + 1
        await ledger.handler()(session, event)
        self.handled.append((event.tenant_id, event.workspace_id))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._producer = make_producer(self._scene.settings, await self._scene.cluster.current_id())
        await self._producer.start()
        task = asyncio.create_task(self._consumer.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._producer.stop()

    async def publish(self, counter: Counter) -> None:
        """The first event of a counter."""
        await self._send(counter, [1])
        await self._scene.sql.execute("INSERT INTO ledger.counters VALUES ($1, $2, 1)", *counter)

    async def _send(self, counter: Counter, versions: Iterable[int]) -> None:
        """Events of one counter, as its relay would send them."""
        sent: deque[Any] = deque()
        for version in versions:
            made = envelope(counter, version)
            sent.append(
                await self._producer.send(ledger.TOPIC, made.data, key=made.key, headers=made.headers())
            )
        await asyncio.gather(*sent)

    @asynccontextmanager
    async def queue(self, hot: Counter) -> AsyncIterator[None]:
        """Events of this counter wait all the while, however fast they are handled."""
        await self._send(hot, range(1, WAITING + 1))
        task = asyncio.create_task(self._refill(hot))
        try:
            await self._scene.until_effects(1, of=[hot])
            yield
            assert not task.done(), task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _refill(self, hot: Counter) -> None:
        sent = WAITING
        while True:
            waiting = sent - self.handled.count(hot)
            self.least = min(self.least, waiting)
            await self._send(hot, range(sent + 1, sent + 1 + WAITING - waiting))
            sent += WAITING - waiting
            await asyncio.sleep(0.05)

    async def delay(self, counter: Counter) -> tuple[float, int]:
        """Seconds, and turns of others, between one event's acknowledgement and its effect."""
        loop = asyncio.get_running_loop()
        await self.publish(counter)
        began, before, turns = loop.time(), len(self.handled), self.turns

        async def done() -> bool:
            return counter in self.handled[before:]

        if counter not in self.handled:
            await eventually(done, within=60, every=0.005)
        return loop.time() - began, max(0, self.turns - turns - 1)


@pytest.mark.parametrize("shares", [False, True], ids=["other partitions", "the same partition"])
async def test_a_hot_tenant_delays_the_single_event_of_another_by_a_bounded_factor(
    scene: Scene, conclude: Callable[..., None], shares: bool
) -> None:
    """Seconds are compared within the run, and what counts is how many turns of the hot tenant go first."""
    (hot,) = scene.counters(tenants=1, each=1)
    place = ledger.place(hot[0])
    others = [
        one for one in scene.counters(tenants=2400, each=1) if (ledger.place(one[0]) == place) == shares
    ]
    idle, cold = others[:COLD], others[COLD : 2 * COLD]
    rounds = Rounds(scene)
    async with rounds.running():
        await rounds.delay(others[-1])
        alone = [await rounds.delay(counter) for counter in idle]
        async with rounds.queue(hot):
            await rounds.delay(others[-2])  # who shares the partition is behind the queue once
            beside = [await rounds.delay(counter) for counter in cold]
    await scene.sql.execute("DELETE FROM ledger.effects WHERE counter_id = $1", hot[1])  # of no interest
    verdict = await judge(scene.sql)
    ahead = [count for _, count in beside]
    ratio = p99(beside) / p99(alone)
    conclude(verdict, hot_waiting=rounds.least, ahead=max(ahead), p99_ratio=round(ratio, 2))
    assert rounds.least > 0, "the hot tenant had no event waiting for a while"
    assert max(ahead) <= 3 * WORKERS, ahead


def p99(delays: list[tuple[float, int]]) -> float:
    return quantiles([seconds for seconds, _ in delays], n=100, method="inclusive")[98]
