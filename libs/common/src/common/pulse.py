"""Signs of life of a process's loops: what `/health/live` asks, and an orchestrator restarts for.

A loop that waits for something outside (a database that is away, a service that refuses) is alive: it tries,
and a restart would mend nothing. One in which neither anything ends nor anything is tried is not.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

PATIENCE_SECONDS = 60.0
"""A loop without a sign for so long hangs: longer than any single attempt may take."""


class Pulse:
    """Of one loop, between its beginning and its end."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        self._last = self._clock()

    def has_stopped(self) -> bool:
        return self._clock() - self._last > PATIENCE_SECONDS


_beating: set[Pulse] = set()
_current: ContextVar[Pulse | None] = ContextVar("pulse", default=None)


@contextmanager
def kept(pulse: Pulse) -> Generator[None]:
    """While the block runs it must show signs of life, its own or (with `beat`) its tasks'."""
    pulse.beat()
    _beating.add(pulse)
    token = _current.set(pulse)
    try:
        yield
    finally:
        _current.reset(token)
        _beating.discard(pulse)


def beat() -> None:
    """A sign of life of the loop that this code works for, if it keeps one."""
    pulse = _current.get()
    if pulse is not None:
        pulse.beat()


def list_stopped() -> list[str]:
    """The loops of this process that hang."""
    return sorted(pulse.name for pulse in _beating if pulse.has_stopped())
