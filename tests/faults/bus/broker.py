"""Brokers that tests may kill, and the bench starts."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from penguinmails import ports, probes
from penguinmails.child import dying_with_us
from penguinmails.stack import Stack
from tests.e2e.client import eventually

_LONGEST_START = 90.0
"""Seconds; Apache Kafka takes twenty on a busy machine."""


class Broker(Protocol):
    """A broker to kill and to start again."""

    keeps_its_log: bool

    @property
    def address(self) -> str: ...

    def start(self) -> None:
        """Returns at once; clients connect when its topics are there."""
        ...

    async def returned(self) -> None:
        """Wait until it lets clients in again."""
        ...

    def kill(self) -> None:
        """SIGKILL, and gone."""
        ...


class StackBroker:
    """The stack's, which its supervisor starts again."""

    keeps_its_log = True

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._killed: int | None = None

    @property
    def address(self) -> str:
        return str(self._stack.env()["kafka"])

    def start(self) -> None:
        """The supervisor has noticed."""

    async def returned(self) -> None:
        await asyncio.to_thread(self._stack.wait_ready, "kafka", self._killed, _LONGEST_START)

    def kill(self) -> None:
        self._killed = self._stack.kill("kafka")


class OwnBroker:
    """`python -m penguinmails.broker` on two free ports; each start is an empty log."""

    keeps_its_log = False

    def __init__(self, folder: Path) -> None:
        self._log = folder / "broker.log"
        self._port = ports.random_free(set())
        self._inner = ports.random_free({self._port})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "penguinmails.broker"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self._port), "--inner-port", str(self._inner)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_us(signal.SIGKILL),  # noqa: PLW1509 - as the stack does
            )

    async def returned(self) -> None:
        await eventually(self.is_open, within=_LONGEST_START, every=0.01)

    async def is_open(self) -> bool:
        """Whether clients are let in."""
        assert self._process
        return await probes.accepts(self._port)(self._process.pid)

    def kill(self) -> None:
        """The broker proper dies with its door."""
        assert self._process
        self._process.kill()
        self._process.wait()
