"""Requests on their way to a broker that looks again and again while a fetch waits: they wait here instead.

A fetch of the same offsets as the one before it on its connection found nothing then. It goes on when
somebody has written since, or when its time is over, and hardly waits at the broker any more. Every other
request goes on at once, in order. So a consumer that waits costs the broker nothing, and hears of a record as
soon as it is there.
"""

import asyncio
import struct
from collections.abc import Callable

_HEAD = struct.Struct(">ihhih")
"""Of a request: size of what follows, kind, version, number, length of the client's name (-1: none)."""
_SIZE = 4
_NUMBER = slice(8, 12)
_PRODUCE, _FETCH = 0, 1
_WAIT = struct.Struct(">i")
_TAGGED_SINCE, _NO_REPLICA_SINCE = 12, 15
"""Versions of fetches: from here on one byte more, and four less, stand before the milliseconds to wait."""
_LOOK_MS = 20
"""Time for one look: with none, the broker does not look at all."""
_PACE_SECONDS = 0.025
"""Between two looks of one connection: whoever is woken by every record of many has no time for them."""


class Waiting:
    """Fetches that wait, of all connections."""

    def __init__(self) -> None:
        self.written = 0
        self.wakes: set[Callable[[], None]] = set()

    def wake(self) -> None:
        """Somebody has written, and the broker has said so."""
        self.written += 1
        for wake in tuple(self.wakes):
            wake()


class Queue:
    """The requests of one connection, handed on in order."""

    def __init__(self, hand_on: Callable[[bytes], None], waiting: Waiting) -> None:
        self._hand_on = hand_on
        self._waiting = waiting
        self._bytes = bytearray()
        self._passing = 0
        self._writes = False
        self._looks = Looks(waiting, self._go_on)

    def take(self, data: bytes) -> None:
        """More of what the client says."""
        self._bytes += data
        self._go_on()

    def answered(self) -> None:
        """The broker has said something on this connection."""
        if self._writes:
            self._waiting.wake()

    def close(self) -> None:
        """Nothing is handed on any more."""
        self._bytes.clear()
        self._looks.close()

    def _go_on(self) -> None:
        while self._bytes and (self._passing or self._begin()):
            part = bytes(self._bytes[: self._passing])
            del self._bytes[: self._passing]
            self._passing -= len(part)
            self._hand_on(part)

    def _begin(self) -> bool:
        """Whether the next request may go on now."""
        if len(self._bytes) < _HEAD.size:
            return False
        size, kind, version, _, name = _HEAD.unpack_from(self._bytes)
        whole = _SIZE + size
        self._writes |= kind == _PRODUCE
        if kind == _FETCH:
            place = _HEAD.size + max(name, 0)
            place += (version >= _TAGGED_SINCE) + 4 * (version < _NO_REPLICA_SINCE)
            if len(self._bytes) < whole or not self._looks.may_go(bytes(self._bytes[:whole]), place):
                return False
            _WAIT.pack_into(self._bytes, place, _LOOK_MS)
        self._passing = whole
        return True


class Looks:
    """When one connection's fetches may go on."""

    def __init__(self, waiting: Waiting, go_on: Callable[[], None]) -> None:
        self._waiting = waiting
        self._go_on = go_on
        self._last: list[int] = []
        self._seen = 0
        self._paced = 0.0
        self._until: float | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def may_go(self, request: bytes, place: int) -> bool:
        """Whether it goes now; if not, it is asked again in time. At `place` stands how long it may wait."""
        now, asked = asyncio.get_running_loop().time(), _offsets_in(request)
        if asked == self._last:
            if self._until is None:
                self._until = now + _WAIT.unpack_from(request, place)[0] / 1000
            due = self._due()
            if now < due:
                self._set_alarm(due)
                return False
        self.close()
        self._last, self._seen, self._paced = asked, self._waiting.written, now + _PACE_SECONDS
        return True

    def close(self) -> None:
        """No fetch waits any more."""
        self._waiting.wakes.discard(self._wake)
        self._until = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _due(self) -> float:
        until = self._until or 0.0
        return min(until, self._paced) if self._waiting.written > self._seen else until

    def _set_alarm(self, due: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(due, self._go_on)
        self._waiting.wakes.add(self._wake)

    def _wake(self) -> None:
        self._set_alarm(self._due())


def _offsets_in(request: bytes) -> list[int]:
    """What a fetch asks for, in whatever order: clients shuffle the partitions. The same bytes could be other
    offsets, which then wait once for nothing."""
    return sorted(request[: _NUMBER.start] + request[_NUMBER.stop :])
