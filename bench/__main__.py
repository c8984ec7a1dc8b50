"""`python -m bench [--write] [--short] [NAME …]`: measure and print.

`--write` keeps the page; what is on it and was not measured now stays. `--short` measures a tenth of the bus
lines, which shows that they run, and holds nobody to a bar.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench import entry, timing
from bench.bus import consumer, fairness, latency, relay
from bench.report import Line, page
from bench.subject import SAMPLED, Subject, running_stack, subject
from bench.web import auditing, logging_in, memory, neighbour, reading, rival, signing_up, writing
from common import telemetry

LINES: dict[str, Callable[[Subject], Awaitable[Line]]] = {
    "memory": memory.measure,
    "entry": entry.measure,
    "timing": timing.measure,
    "relay": relay.measure,
    "consumer": consumer.measure,
    "latency": latency.measure,
    "fairness": fairness.measure,
    "fairness-shared": fairness.measure_shared,
    "read": reading.measure,
    "rival": rival.measure,
    "write": writing.measure,
    "audit": auditing.measure,
    "audit-misses": auditing.measure_misses,
    "sign-up": signing_up.measure,
    "log-in": logging_in.measure,
    "neighbour": neighbour.measure,
}
OPTIONS = ("--write", "--short")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


async def measure(names: list[str], short: bool) -> list[Line]:
    """The lines of these names, one after the other on one stack."""
    found: list[Line] = []
    with running_stack() as stack:
        async with subject(stack, short) as measured:
            for name in names:
                print(f"measuring {name} …", flush=True)
                line = await LINES[name](measured)
                print(line, flush=True)
                found.append(line)
    return found


def _possible() -> list[str]:
    if rival.is_here():
        return list(LINES)
    print("npm is not here: nothing is measured beside PostGraphile.")
    return [name for name in LINES if name != "rival"]


def main(arguments: list[str]) -> int:
    names = [one for one in arguments if not one.startswith("--")] or _possible()
    options = [one for one in arguments if one.startswith("--")]
    unknown = [one for one in (*names, *options) if one not in (*LINES, *OPTIONS)]
    if unknown:
        print(f"there is no {', '.join(unknown)}; there are {', '.join((*OPTIONS, *LINES))}")
        return 2
    short = "--short" in arguments
    telemetry.start_tracing(telemetry.resource_of("bench", ()), "", SAMPLED)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lines = runner.run(measure(names, short))
    if short:
        return 0
    if "--write" in arguments:
        PAGE.write_text(page(lines, PAGE.read_text()))
    return 0 if all(line.held for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
