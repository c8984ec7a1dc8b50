"""Starts replicas by forking a process that has imported everything, so that two hundred kills take minutes.

`python -m tests.faults.bus.nursery` reads one request a line and answers with one number a line.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL
from typing import Any

from penguinmails.child import dying_with_us
from tests.faults.bus import replica

ROOT = Path(__file__).parents[3]


class Nursery:
    """The tests' side of it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.bus.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            preexec_fn=dying_with_us(SIGKILL),  # noqa: PLW1509 - as the stack does
        )

    def start(self, options: dict[str, Any], environment: dict[str, str], log: Path) -> int:
        """The pid of a new replica."""
        return self._ask({"options": options, "environment": environment, "log": str(log)})

    def reap(self, pid: int) -> int:
        """Wait for the replica's end; its exit status, negative for a signal."""
        return self._ask({"reap": pid})

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, request: dict[str, Any]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = _fork(request)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _fork(request: dict[str, Any]) -> int:
    prepare = dying_with_us(SIGKILL)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    pid = os.fork()
    if pid:
        os.close(log)
        return pid
    prepare()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.update(request["environment"])
    try:
        replica.run(request["options"])
    finally:
        sys.stdout.flush()
        os._exit(sys.exc_info()[0] is not None)


if __name__ == "__main__":
    _main()
