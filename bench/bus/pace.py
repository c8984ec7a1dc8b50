"""Sending at a steady pace, whatever became of what was sent before."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from statistics import quantiles

from bench.bus.reader import Times


async def paced(rate: float, sends: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Begin so many a second, each in time; return when the last has ended."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    running: list[asyncio.Task[None]] = []
    for number, send in enumerate(sends):
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
        running.append(asyncio.ensure_future(send()))  # type: ignore[arg-type]
    await asyncio.gather(*running)


def delays(sent: Times, done: Times) -> list[float]:
    """Milliseconds between the two, of everything that was sent."""
    return [(done[event] - moment) * 1000 for event, moment in sent.items()]


def percentiles(found: Sequence[float]) -> tuple[float, float]:
    """The 50th and the 99th."""
    cut = quantiles(found, n=100, method="inclusive")
    return cut[49], cut[98]
