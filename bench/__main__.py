"""`python -m bench [--write] [NAME …]`: measure, print, and with `--write` keep the page."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import entry, timing
from bench.report import Line, page
from bench.subject import Subject, running_stack, subject

LINES: dict[str, Callable[[Subject], Awaitable[Line]]] = {"entry": entry.measure, "timing": timing.measure}
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


async def measure(names: list[str]) -> list[Line]:
    """The lines of these names, one after the other on one stack."""
    found: list[Line] = []
    with running_stack() as stack:
        async with subject(stack) as measured:
            for name in names:
                print(f"measuring {name} …", flush=True)
                line = await LINES[name](measured)
                print(line, flush=True)
                found.append(line)
    return found


def main(arguments: list[str]) -> int:
    names = [one for one in arguments if not one.startswith("--")] or list(LINES)
    unknown = [name for name in names if name not in LINES]
    if unknown:
        print(f"there is no {', '.join(unknown)}; there are {', '.join(LINES)}")
        return 2
    lines = asyncio.run(measure(names))
    if "--write" in arguments:
        PAGE.write_text(page(lines))
    return 0 if all(line.held for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
