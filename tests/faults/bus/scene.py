"""One test's database, its replicas and the load on them."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from common.bus.kafka import Cluster
from common.contracts.envelope import PARTITIONS, Envelope
from common.db.session import Database
from common.ids import new_id
from common.settings import ServiceSettings
from common.testing.databases import ServiceDatabase
from tests.e2e.client import eventually
from tests.faults import chance
from tests.faults.bus import ledger
from tests.faults.bus.ledger import Counter
from tests.faults.bus.nursery import Nursery
from tests.faults.bus.verdict import Verdict, judge

PLACES = [TopicPartition(ledger.TOPIC, number) for number in range(PARTITIONS)]

_BEGIN = """
INSERT INTO tenancy.consumer_offsets (consumer, topic, partition, cluster_id, next_offset, epoch)
VALUES ($1, $2, $3, $4, $5, 1)
"""
_REWIND = """
UPDATE tenancy.consumer_offsets SET next_offset = $4 WHERE consumer = $1 AND topic = $2 AND partition = $3
"""
_POSITIONS = "SELECT partition, next_offset FROM tenancy.consumer_offsets WHERE consumer = $1 AND topic = $2"


class Replica:
    """A process of the ledger's."""

    def __init__(self, nursery: Nursery, pid: int, log: Path) -> None:
        self._nursery, self._log, self.pid = nursery, log, pid
        self._process = psutil.Process(pid)
        self._status: int | None = None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self, within: float = 20) -> int:
        """Its exit status, as soon as it has one; negative for a signal."""

        async def dead() -> bool:
            return self._process.status() == psutil.STATUS_ZOMBIE

        if self._status is None:
            await eventually(dead, within, every=0.01)
            self._status = self._nursery.reap(self.pid)
        return self._status

    async def kill(self) -> None:
        if self._status is None:
            self.signal(signal.SIGKILL)
            await self.ended()

    def says(self, words: str) -> int:
        """How often the words stand in its log."""
        return self._log.read_text().count(words)


class Scene:
    """The ledger of one test. Everything random follows from `rng`."""

    def __init__(
        self, made: ServiceDatabase, settings: ServiceSettings, nursery: Nursery, folder: Path, name: str
    ) -> None:
        self.made, self.settings = made, settings
        self.rng = random.Random(f"{chance.seed()} {name}")
        self.database = Database(made.app_url, made.tenancy_key)
        self.cluster = Cluster(settings)
        self.replicas: list[Replica] = []
        self.kills = 0
        self.log: list[Envelope] = []
        """What `follow` has read."""
        self._nursery, self._folder = nursery, folder

    async def open(self) -> None:
        """Consumers begin where the log ends now: what other tests left there is not ours."""
        cluster = await eventually(self._cluster_id, within=30)
        self.sql = await asyncpg.connect(self.made.superuser_url)
        self.reader: Any = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap_servers,
            fetch_max_wait_ms=50,
            auto_offset_reset="earliest",
        )
        await self.reader.start()
        self.reader.assign(PLACES)
        for tp, offset in (await self.reader.end_offsets(PLACES)).items():
            self.reader.seek(tp, offset)
        self._beginning = await self.follow()
        self.log.clear()
        rows = [(ledger.NAME, tp.topic, tp.partition, cluster, at) for tp, at in self._beginning.items()]
        await self.sql.executemany(_BEGIN, rows)

    async def _cluster_id(self) -> str | None:
        try:
            return await self.cluster.current_id()
        except (KafkaError, OSError):
            return None

    async def close(self) -> None:
        for replica in self.replicas:
            await replica.kill()
        await self.reader.stop()
        await self.cluster.close()
        await self.database.close()
        await self.sql.close()

    def start(self, role: str, **options: Any) -> Replica:
        """A new process; see `replica.run` for the options."""
        names = {
            "DATABASE_URL": self.made.app_url,
            "RELAY_DATABASE_URL": self.made.relay_url,
            "TENANCY_KEY": self.made.tenancy_key,
            "LINK_SECRET": "00" * 32,
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "KAFKA_IDEMPOTENCE": str(self.settings.kafka_idempotence),
        }
        log = self._folder / f"{role}-{len(self.replicas)}.log"
        replica = Replica(self._nursery, self._nursery.start({"role": role, **options}, names, log), log)
        self.replicas.append(replica)
        return replica

    async def killed(self, replica: Replica, within: float = 20) -> None:
        """Wait until the replica has ended itself as told."""
        assert await replica.ended(within) == -signal.SIGKILL
        self.kills += 1

    def counters(self, tenants: int, each: int) -> list[Counter]:
        """Counters of new tenants."""
        return [(tenant, new_id()) for tenant in (new_id() for _ in range(tenants)) for _ in range(each)]

    async def write(
        self,
        counters: Sequence[Counter],
        events: int,
        *,
        writers: int = 8,
        pace: Callable[[], dict[str, float]] = dict,
    ) -> None:
        """So many steps of random counters, by so many writers at once; `pace`: see `ledger.step`."""

        async def writer(share: int) -> None:
            for _ in range(share):
                await ledger.step(self.database, self.rng.choice(counters), **pace())

        shares = [events // writers + (number < events % writers) for number in range(writers)]
        await asyncio.gather(*(writer(share) for share in shares))

    @asynccontextmanager
    async def load(self, counters: Sequence[Counter], writers: int = 2) -> AsyncGenerator[None]:
        """Steps without pause while the block runs."""
        stop = asyncio.Event()

        async def writer() -> None:
            while not stop.is_set():
                await ledger.step(self.database, self.rng.choice(counters))

        tasks = [asyncio.create_task(writer()) for _ in range(writers)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def effects(self, of: Sequence[Counter] = ()) -> int:
        """How many effects there are (of these counters)."""
        query = "SELECT count(*) FROM ledger.effects WHERE counter_id = ANY($1) OR $1 = '{}'"
        return int(await self.sql.fetchval(query, [counter for _, counter in of]))

    async def until_effects(self, count: int, within: float = 20, of: Sequence[Counter] = ()) -> None:
        async def there() -> bool:
            return await self.effects(of) >= count

        await eventually(there, within, every=0.02)

    def read_anew(self) -> None:
        """The log is another one, and empty at first."""
        self._beginning = dict.fromkeys(PLACES, 0)
        self.log.clear()
        for tp in PLACES:
            self.reader.seek(tp, 0)

    async def rewind(self) -> None:
        """Have the consumer begin again where it first began."""
        rows = [(ledger.NAME, tp.topic, tp.partition, at) for tp, at in self._beginning.items()]
        await self.sql.executemany(_REWIND, rows)

    async def waited_for(self, within: float = 40, *, missing: int | None = None) -> Verdict:
        """Wait until everything was sent, and positions have reached the log's end.

        `missing`: and no more events than that are without effect. However long it takes, as long as it
        moves: fails when it has stood still for `within` seconds.
        """
        before: object = None
        while True:
            waiting, verdict = await self.waiting(), await judge(self.sql)
            if waiting == (0, {}) and (missing is None or verdict.lost <= missing):
                return verdict
            if waiting != before:
                before, deadline = waiting, time.monotonic() + within
            assert time.monotonic() < deadline, f"{waiting} still wait: {verdict}"
            await asyncio.sleep(0.1)

    async def settled(self) -> Verdict:
        """The verdict, once every event was sent and handled."""
        return await self.waited_for(missing=0)

    async def follow(self) -> dict[TopicPartition, int]:
        """Read on to the log's end; returns where that is. (Tansu names the last batch's beginning.)"""
        while (fetched := await self.reader.getmany(timeout_ms=200)) or not await self._at_end():
            for records in fetched.values():
                self.log += (Envelope.from_kafka(r.headers, r.key, r.value) for r in records)
        return {tp: await self.reader.position(tp) for tp in PLACES}

    async def _at_end(self) -> bool:
        marks = [(self.reader.highwater(tp), await self.reader.position(tp)) for tp in PLACES]
        return all(mark is not None and position >= mark for mark, position in marks)

    async def waiting(self) -> tuple[int, dict[int, int]]:
        """Events not sent, and events not handled (or not known to be) by partition."""
        unsent = int(await self.sql.fetchval("SELECT count(*) FROM tenancy.outbox"))
        stored = dict(await self.sql.fetch(_POSITIONS, ledger.NAME, ledger.TOPIC))
        ends = await self.follow()
        lags = {tp.partition: at - stored[tp.partition] for tp, at in ends.items()}
        return unsent, {partition: lag for partition, lag in lags.items() if lag}
