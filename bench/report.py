"""What a measurement says, and the page of all of them."""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

_HEAD = """# Performance

Made by `make bench ARGS=--write`, which keeps what people have written below the measurements. Everything in
a row was measured in one run, the two sides of a ratio in turns, so that the machine's moods meet both.
`make bench ARGS="--write NAME …"` measures some rows only.

"""


@dataclass(frozen=True, slots=True)
class Line:
    """One measured number and the bar it is held to."""

    name: str
    value: str
    bar: str
    held: bool
    notes: Sequence[str] = field(default_factory=tuple[str, ...])

    def __str__(self) -> str:
        rows = [f"{'held  ' if self.held else 'MISSED'}  {self.name}: {self.value} (bar {self.bar})"]
        return "\n".join([*rows, *(f"        {note}" for note in self.notes)])


def listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:.0f}" for rate in rates)


def page(lines: Sequence[Line], before: str) -> str:
    """`docs/performance.md` with these lines; what else was on the page `before` stays."""
    before, heading, words = before.partition("\n## ")
    names = [one.name for one in lines]
    day = datetime.now(UTC).date()
    rows = [*_others(before, "| ", " |", ["what", *names]), *(_row(one, day) for one in lines)]
    notes = [f"- {one.name}: {note}" for one in lines for note in one.notes]
    table = ["| what | measured | bar | held | day |", "|---|---|---|---|---|", *rows]
    remaining = _others(before, "- ", ":", names)
    return _HEAD + "\n".join([_machine(), "", *table, "", *remaining, *notes]) + f"\n{heading}{words}"


def _row(line: Line, day: date) -> str:
    return f"| {line.name} | {line.value} | {line.bar} | {'yes' if line.held else '**no**'} | {day} |"


def _others(page: str, begin: str, end: str, names: Sequence[str]) -> list[str]:
    """What begins and ends a name like this, except for these names."""
    measured = tuple(f"{begin}{name}{end}" for name in names)
    return [row for row in page.splitlines() if row.startswith(begin) and not row.startswith(measured)]


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} "
        f"{platform.machine()}, Python {sys.version.split()[0]}, PostgreSQL 18 with fsync on."
    )


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = (
        [line for line in facts.read_text().splitlines() if "model name" in line] if facts.exists() else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or "unknown"
