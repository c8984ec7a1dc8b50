"""A broker of the tests' own, which they may kill; each start is an empty log."""

import signal
import subprocess
import sys
from pathlib import Path

from penguinmails import ports
from penguinmails.child import dying_with_us


class Broker:
    """`python -m penguinmails.broker` on two free ports."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "broker.log"
        self._port = ports.random_free(set())
        self._inner = ports.random_free({self._port})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns at once; clients connect when its topics are there."""
        command = [sys.executable, "-m", "penguinmails.broker"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self._port), "--inner-port", str(self._inner)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_us(signal.SIGKILL),  # noqa: PLW1509 - as the stack does
            )

    def kill(self) -> None:
        """SIGKILL; the broker proper dies with its door."""
        assert self._process
        self._process.kill()
        self._process.wait()
