"""A supervisor over a few harmless processes: `python toy_stack.py HOME [PID START]`."""

import asyncio
import signal
import sys
from pathlib import Path

from penguinmails import child, files
from penguinmails.home import Home
from penguinmails.plan import Unit
from penguinmails.supervisor import Supervisor

ORDERLY = "import signal,sys,time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('orderly')))"
SLEEP = f"{ORDERLY}; print('begun', flush=True); time.sleep(600)"


async def always(_pid: int) -> bool:
    return True


async def never(_pid: int) -> bool:
    return False


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def units(home: Home) -> list[Unit]:
    mark = home.root / "task-ran"
    task = f"from pathlib import Path; Path({str(mark)!r}).touch()"
    orphan = (
        "import subprocess,sys,time; subprocess.Popen([sys.executable,'-c','import time; time.sleep(600)'],"
    )
    return [
        Unit("postgres", lambda: python(SLEEP), always),
        Unit("task", lambda: python(task), after=("postgres",)),
        Unit(
            "service",
            lambda: python(f"assert __import__('os').path.exists({str(mark)!r}); {SLEEP}"),
            always,
            after=("task",),
        ),
        Unit("crashing", lambda: python("raise SystemExit(3)"), never),
        Unit("missing", lambda: ["/no/such/program"], never),
        Unit("parent", lambda: python(f"{orphan} start_new_session=True); time.sleep(600)"), always),
        Unit(
            "stubborn",
            lambda: python(f"import signal; signal.signal(15, signal.SIG_IGN); {SLEEP}"),
            always,
            stop_signal=signal.SIGKILL,
        ),
    ]


async def main() -> None:
    home = Home(Path(sys.argv[1]))
    lock = files.try_lock(home.supervisor_lock)
    assert lock is not None
    child.adopt_orphans()
    keeper = (int(sys.argv[2]), sys.argv[3]) if len(sys.argv) > 2 else None
    await Supervisor(home, units(home)).run(keeper)


asyncio.run(main())
