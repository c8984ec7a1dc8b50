"""A tenant with thousands of events waiting delays nobody else by more than a few handlers."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from statistics import quantiles
from typing import Any

from aiokafka.partitioner import DefaultPartitioner

from common import clock
from common.bus.consumer import Consumer
from common.bus.kafka import make_producer
from common.bus.lanes import WORKERS, Lanes
from common.contracts.envelope import PARTITIONS, Envelope, tenant_key
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import TenantSession
from common.ids import new_id
from tests.e2e.client import eventually
from tests.faults.bus import ledger
from tests.faults.bus.ledger import Counter
from tests.faults.bus.scene import Scene
from tests.faults.bus.verdict import judge

WAITING = int(os.environ.get("FAULT_HOT_EVENTS", "3000"))
COLD = 40


def partition(counter: Counter) -> int:
    """Where the tenant's events go."""
    places = list(range(PARTITIONS))
    return int(DefaultPartitioner()(tenant_key(counter[0]).encode(), places, places))


def envelope(counter: Counter, version: int) -> Envelope:
    """An event as a relay would publish it."""
    tenant_id, counter_id = counter
    event = WorkspaceUpdated(
        tenant_id=tenant_id, workspace_id=counter_id, version=version, name="step", slug="s"
    )
    data = event.model_dump_json().encode()
    subject = event.subject
    return Envelope(new_id(), ledger.NAME, event.ce_type(), clock.now(), subject, tenant_id, version, data)


class Rounds:
    """A consumer in this process; remembers in which order events were handled."""

    def __init__(self, scene: Scene) -> None:
        self.handled: list[Counter] = []
        lanes = Lanes(ledger.NAME, scene.database, {WorkspaceUpdated: self._handle})
        self._consumer = Consumer(ledger.NAME, scene.settings, scene.cluster, [ledger.TOPIC], lanes)
        self._scene = scene

    async def _handle(self, session: TenantSession, event: WorkspaceUpdated) -> None:
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

    async def publish(self, counter: Counter, count: int) -> None:
        """So many events of one counter, as its relay would send them."""
        sent: deque[Any] = deque()
        for version in range(1, count + 1):
            made = envelope(counter, version)
            sent.append(
                await self._producer.send(ledger.TOPIC, made.data, key=made.key, headers=made.headers())
            )
        await asyncio.gather(*sent)
        await self._scene.sql.execute("INSERT INTO ledger.counters VALUES ($1, $2, $3)", *counter, count)

    async def delay(self, counter: Counter) -> tuple[float, int]:
        """Seconds, and events of others handled, between one event's acknowledgement and its effect."""
        loop = asyncio.get_running_loop()
        await self.publish(counter, 1)
        began, before = loop.time(), len(self.handled)

        async def done() -> bool:
            return counter in self.handled[before:]

        if counter not in self.handled:
            await eventually(done, within=60, every=0.005)
        return loop.time() - began, max(0, len(self.handled) - before - 1)


async def test_a_hot_tenant_delays_the_single_event_of_another_by_a_bounded_factor(
    scene: Scene, conclude: Callable[..., None]
) -> None:
    """Seconds are compared within the run, and what counts is how many events of the hot tenant go first."""
    (hot,) = scene.counters(tenants=1, each=1)
    others = [other for other in scene.counters(tenants=200, each=1) if partition(other) != partition(hot)]
    idle, cold = others[:COLD], others[COLD : 2 * COLD]
    rounds = Rounds(scene)
    async with rounds.running():
        await rounds.delay(others[-1])
        alone = [await rounds.delay(counter) for counter in idle]
        await rounds.publish(hot, WAITING)
        await scene.until_effects(1, of=[hot])
        beside = [await rounds.delay(counter) for counter in cold]
        left = WAITING - rounds.handled.count(hot)
    for table in ("counters", "effects"):  # its rest is of no interest
        await scene.sql.execute(f"DELETE FROM ledger.{table} WHERE counter_id = $1", hot[1])
    verdict = await judge(scene.sql)
    ahead = [count for _, count in beside]
    ratio = p99(beside) / p99(alone)
    conclude(verdict, hot_events=WAITING, ahead=max(ahead), p99_ratio=round(ratio, 2), hot_left=left)
    assert left > 0, "the hot tenant had events waiting all the time"
    assert max(ahead) <= 10 * WORKERS, ahead


def p99(delays: list[tuple[float, int]]) -> float:
    return quantiles([seconds for seconds, _ in delays], n=100, method="inclusive")[98]
