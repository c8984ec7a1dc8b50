"""Making campaigns: a row, its event in the outbox, and a commit that is on disk, for each."""

import statistics

import asyncpg

from bench.report import Line, listed
from bench.subject import Subject
from bench.web.limits import UNLIMITED, limit
from bench.web.load import crowd, request
from bench.web.reading import NEEDED

BAR = 400
ROUNDS, SECONDS, CONNECTIONS = 5, 3.0, 8
_FSYNC = "SELECT current_setting('fsync') || current_setting('synchronous_commit')"


async def measure(subject: Subject) -> Line:
    """Campaigns made a second by one service process, which has one core at most."""
    await limit(subject, subject.mine, UNLIMITED)
    body = {"workspace_id": subject.mine.default_workspace_id, "name": "Spring", "subject": "Hello"}
    asked = request("POST", "/campaigns", subject.mine.token, body)
    await _require_fsync(subject)
    rates: list[float] = []
    async with crowd(subject.environment["services"]["campaigns"], CONNECTIONS) as asking:
        with subject.only(*NEEDED):
            await asking.rate(lambda: asked, 201, subject.seconds(SECONDS))
            for _ in range(ROUNDS):
                rates.append(await asking.rate(lambda: asked, 201, subject.seconds(SECONDS)))
    rate = statistics.median(rates)
    notes = [f"{CONNECTIONS} connections, the process's own relay at work: {listed(rates)}"]
    return Line("campaigns made, one process", f"{rate:.0f}/s", f"≥ {BAR}", rate >= BAR, notes)


async def _require_fsync(subject: Subject) -> None:
    connection = await asyncpg.connect(subject.environment["postgres"]["superuser"])
    on_disk = await connection.fetchval(_FSYNC)
    await connection.close()
    if on_disk != "onon":
        raise RuntimeError("commits are not on disk")
