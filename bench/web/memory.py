"""The memory of the local stack while nobody asks anything of it."""

from contextlib import suppress
from pathlib import Path

from bench.report import Line
from bench.subject import Subject

BAR_MIB = 1.2 * 1024
_PROC = Path("/proc")


async def measure(subject: Subject) -> Line:
    """Mebibytes of all processes; what several share counts once (PSS)."""
    pids = subject.stack.pids()
    (supervisor,) = pids.pop("supervisor")
    total = _together(supervisor)
    found = {name: sum(map(_together, roots)) for name, roots in pids.items()}
    parts = ", ".join(f"{name} {size:.0f}" for name, size in sorted(found.items(), key=lambda one: -one[1]))
    return Line("memory of the idle stack", f"{total:.0f} MiB", f"≤ {BAR_MIB:.0f}", total <= BAR_MIB, [parts])


def _together(pid: int) -> float:
    """Mebibytes of a process and all that it has started; the supervisor has started everything."""
    return sum(map(_share, _family(pid))) / 1024


def _family(pid: int) -> list[int]:
    children = (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _share(pid: int) -> float:
    """Proportional share of memory, in kibibytes; none of a process that has ended since it was listed."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
    return 0.0
