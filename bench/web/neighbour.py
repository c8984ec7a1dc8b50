"""What a tenant that has used up its requests, and goes on asking, costs another tenant."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from bench.bus.pace import paced, percentiles
from bench.report import Line
from bench.subject import Subject
from bench.web.limits import UNLIMITED, limit
from bench.web.load import Crowd, crowd, request

BAR = 2.0
LIMIT = 60
"""Requests a minute of the one."""
REFUSED_RATE, RATE, SECONDS, TURNS, CONNECTIONS = 200, 40, 5, 4, 16


async def measure(subject: Subject) -> Line:
    """The other's 99th percentile beside the one at its limit, as a multiple of that alone."""
    await limit(subject, subject.theirs, UNLIMITED)
    await limit(subject, subject.mine, LIMIT)
    alone: list[float] = []
    beside: list[float] = []
    statuses: list[int] = []
    gateway = subject.environment["gateway"]
    async with crowd(gateway, CONNECTIONS) as other, crowd(gateway, CONNECTIONS) as one:
        flood = partial(_ask, one, request("GET", "/campaigns", subject.mine.token), statuses)
        for _ in range(TURNS):
            alone += await _turn(subject, other)
            asking = asyncio.create_task(paced(REFUSED_RATE, [flood] * (REFUSED_RATE * SECONDS)))
            beside += await _turn(subject, other)
            await asking
    await limit(subject, subject.mine, UNLIMITED)
    (p50, p99), (p50_beside, p99_beside) = percentiles(alone), percentiles(beside)
    refused = statuses.count(429)
    notes = [
        f"{RATE} requests/s of the other: p50 {p50:.1f} ms, p99 {p99:.1f} ms alone; "
        f"p50 {p50_beside:.1f} ms, p99 {p99_beside:.1f} ms beside {REFUSED_RATE}/s of the one",
        f"{refused} of its {len(statuses)} were refused",
    ]
    factor = p99_beside / p99
    held = factor <= BAR and refused > len(statuses) / 2
    return Line("p99 beside a tenant at its limit / alone", f"{factor:.2f}", f"≤ {BAR:.0f}", held, notes)


async def _turn(subject: Subject, other: Crowd) -> list[float]:
    """Milliseconds of each request of the other tenant."""
    took: list[float] = []
    asked = request("GET", "/campaigns", subject.theirs.token)

    async def send() -> None:
        began = time.perf_counter()
        answer = await other.ask(asked)
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
        took.append((time.perf_counter() - began) * 1000)

    sends: list[Callable[[], Awaitable[None]]] = [send] * (RATE * SECONDS)
    await paced(RATE, sends)
    return took


async def _ask(one: Crowd, asked: bytes, statuses: list[int]) -> None:
    statuses.append((await one.ask(asked)).status)
