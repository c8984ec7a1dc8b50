"""A page of 20 campaigns through everything a service does for it, against pgbench on its transaction."""

import statistics

from bench import entry
from bench.report import Line, listed
from bench.subject import Subject
from bench.web.limits import UNLIMITED, limit
from bench.web.load import crowd, request

BAR = 0.2
ROUNDS, SECONDS, CONNECTIONS = 5, 3.0, 8
NEEDED = ("postgres", "kafka", "valkey", "campaigns")


async def measure(subject: Subject) -> Line:
    """Pages a second of one service process, as a share of pgbench's transactions."""
    await limit(subject, subject.mine, UNLIMITED)
    asked = request("GET", "/campaigns?limit=20", subject.mine.token)
    url = subject.environment["services"]["campaigns"]
    pages: list[float] = []
    transactions: list[float] = []
    sealed = await entry.sealed_side(subject)
    async with crowd(url, CONNECTIONS) as asking:
        with subject.only(*NEEDED):
            await asking.rate(lambda: asked, 200, subject.seconds(SECONDS))
            for _ in range(ROUNDS):
                pages.append(await asking.rate(lambda: asked, 200, subject.seconds(SECONDS)))
                transactions.append(await entry.pgbench(*sealed, *entry.BARRED))
    rate, most = statistics.median(pages), statistics.median(transactions)
    notes = [
        f"{rate:.0f} pages/s of one process asked by {CONNECTIONS} connections: {listed(pages)}",
        f"{most:.0f} transactions/s of pgbench with the sealed entry, 2 clients: {listed(transactions)}",
    ]
    return Line("page of 20 campaigns / pgbench", f"{rate / most:.3f}", f"≥ {BAR}", rate / most >= BAR, notes)
