"""What a measurement says, and the page of all of them."""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

_HEAD = """# Performance

Made by `make bench ARGS=--write`; do not edit. Everything in a row was measured in one run, the two sides of
a ratio in turns, so that the machine's moods meet both.

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


def page(lines: Sequence[Line]) -> str:
    """`docs/performance.md`."""
    rows = [f"| {one.name} | {one.value} | {one.bar} | {'yes' if one.held else '**no**'} |" for one in lines]
    notes = [f"- {one.name}: {note}" for one in lines for note in one.notes]
    table = ["| what | measured | bar | held |", "|---|---|---|---|", *rows]
    return _HEAD + "\n".join([_machine(), "", *table, "", *notes]) + "\n"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    day = datetime.now(UTC).date()
    return (
        f"{day}: {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} "
        f"{platform.machine()}, Python {sys.version.split()[0]}, PostgreSQL 18 with fsync on."
    )


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = (
        [line for line in facts.read_text().splitlines() if "model name" in line] if facts.exists() else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or "unknown"
