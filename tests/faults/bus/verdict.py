"""What a run did to the events: read from the database, and told in one line."""

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

from common.contracts.envelope import Envelope

_COUNT = """
WITH steps AS (
    SELECT tenant_id, counter_id, generate_series(1, version) AS version FROM ledger.counters
), seen AS (
    SELECT e.tenant_id, e.counter_id, e.version, e.version < max(e.version) OVER (
        PARTITION BY e.tenant_id, e.counter_id ORDER BY e.place
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS inverted
    FROM ledger.effects AS e
)
SELECT (SELECT count(*) FROM steps) AS events,
    (SELECT count(*) FROM (TABLE steps EXCEPT SELECT tenant_id, counter_id, version FROM seen) AS s) AS lost,
    (SELECT count(*) - count(DISTINCT (tenant_id, counter_id, version)) FROM seen) AS doubled,
    (SELECT count(*) FROM seen WHERE inverted) AS inverted,
    (SELECT count(*) FROM (
        SELECT tenant_id, counter_id, version FROM seen EXCEPT TABLE steps) AS s) AS invented
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Committed events, and how many are lost, handled twice, out of order, or were never committed."""

    events: int
    lost: int
    doubled: int
    inverted: int
    invented: int

    @property
    def clean(self) -> bool:
        """Each committed event has had its effect once, in the order of its aggregate."""
        return self.events > 0 and not (self.lost or self.doubled or self.inverted or self.invented)


async def judge(connection: asyncpg.Connection) -> Verdict:
    """Effects against committed steps; inversions are per counter."""
    return Verdict(*(await connection.fetch(_COUNT))[0])


def judge_log(envelopes: Iterable[Envelope]) -> dict[str, Any]:
    """What stands in the log: first appearances out of order, numbers that changed or are missing."""
    numbers: dict[Any, set[int]] = defaultdict(set)
    highest: Tally[str] = Tally()
    inverted = records = 0
    for envelope in envelopes:
        records += 1
        if envelope.event_id not in numbers:
            version: int = envelope.event().version  # type: ignore[union-attr]
            inverted += version != highest[envelope.subject] + 1
            highest[envelope.subject] = version
        numbers[envelope.event_id].add(envelope.sequence)
    given = sorted(number for those in numbers.values() for number in those)
    contiguous = given == list(range(given[0], given[0] + len(numbers))) if given else True
    return {"records": records, "distinct": len(numbers), "inverted": inverted, "contiguous": contiguous}
