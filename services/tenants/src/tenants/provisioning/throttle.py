"""A limit on sign-ups per client address: token buckets of this process."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from common.errors import TooManyRequests

_ADDRESSES = 10_000
"""Buckets kept; the one unused for longest goes first."""
_IPV6_SITE = 64


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
        site, now = _site(address), self._now()
        level, since = self._buckets.pop(site, (self._room, now))
        level = min(self._room, level + (now - since) * self._per_second)
        allowed = level >= 1
        self._buckets[site] = (level - 1 if allowed else level, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests(math.ceil((1 - level) / self._per_second))


def _site(address: str) -> str:
    """The address, or for IPv6 the network that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(parsed), _IPV6_SITE), strict=False))
    return str(parsed)
