"""A limit on sign-ups per client address: token buckets of this process."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from common.errors import TooManyRequests
from common.networks import network_of

_ADDRESSES = 10_000
"""Buckets kept; the one unused for longest goes first."""


class Throttle:
    """Lets each address sign up `per_minute` times a minute, in bursts of as many."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._room = float(per_minute)
        self._per_second = per_minute / 60
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> None:
        """Count one request.

        Raises:
            TooManyRequests: with the seconds until the next one may come.
        """
        network, now = network_of(address), self._now()
        level, since = self._buckets.pop(network, (self._room, now))
        level = min(self._room, level + (now - since) * self._per_second)
        allowed = level >= 1
        self._buckets[network] = (level - 1 if allowed else level, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests(math.ceil((1 - level) / self._per_second))
