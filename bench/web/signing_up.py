"""From the sign-up of a company to the answer that everything of it is there."""

import time

from bench.bus.pace import percentiles
from bench.report import Line
from bench.subject import Subject

BARS_MS = (300.0, 1000.0)
COUNT, WARM_UP = 100, 3


async def measure(subject: Subject) -> Line:
    """Milliseconds from POST to 201, one after the other."""
    count = COUNT // 10 if subject.short else COUNT
    took: list[float] = []
    for number in range(WARM_UP + count):
        began = time.perf_counter()
        await subject.platform.sign_up(f"Company {number} of {time.time_ns()}")
        took.append((time.perf_counter() - began) * 1000)
    p50, p99 = percentiles(took[WARM_UP:])
    held = p50 <= BARS_MS[0] and p99 <= BARS_MS[1]
    return Line(
        "sign-up to 201, p50 and p99",
        f"{p50:.0f} and {p99:.0f} ms",
        f"≤ {BARS_MS[0]:.0f} and {BARS_MS[1]:.0f} ms",
        held,
        [f"{count} companies, one after the other, through the gateway; slowest {max(took):.0f} ms"],
    )
