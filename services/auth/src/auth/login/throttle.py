"""Back-off after failures, per key, in this process."""

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass

from common.errors import TooManyRequests

_KEYS = 50_000
"""Keys remembered; the one that failed longest ago is forgotten first."""


@dataclass(slots=True)
class _Record:
    failures: int
    last_at: float


class Throttle:
    """Lets `free` failures pass, then makes each further attempt wait twice as long as the one before.

    Waits end at `longest` seconds and everything is forgotten after `forget_after` without a failure.
    """

    def __init__(self, free: int, longest: float, forget_after: float) -> None:
        self._free, self._longest, self._forget_after = free, longest, forget_after
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def check(self, key: str) -> None:
        """Refuse an attempt that comes too early.

        Raises:
            TooManyRequests: with the seconds to wait.
        """
        record = self._fresh(key)
        if record is None or record.failures < self._free:
            return
        wait = min(2.0 ** min(record.failures - self._free, 32), self._longest)
        left = record.last_at + wait - self._now()
        if left > 0:
            raise TooManyRequests(math.ceil(left))

    def note_failure(self, key: str) -> None:
        record = self._fresh(key)
        failures = 1 if record is None else record.failures + 1
        self._records[key] = _Record(failures, self._now())
        self._records.move_to_end(key)
        if len(self._records) > _KEYS:
            self._records.popitem(last=False)

    def forget(self, key: str) -> None:
        """Start afresh: the address has been proven in another way."""
        self._records.pop(key, None)

    def _fresh(self, key: str) -> _Record | None:
        record = self._records.get(key)
        if record is not None and self._now() - record.last_at > self._forget_after:
            del self._records[key]
            return None
        return record

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class Turns:
    """One at a time per key, so that parallel attempts cannot outrun the throttle."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def of(self, key: str) -> "_Turn":
        return _Turn(self._locks, key)


class _Turn:
    """`async with` holds the key; the lock goes when nobody wants it any more."""

    def __init__(self, locks: dict[str, tuple[asyncio.Lock, int]], key: str) -> None:
        self._locks, self._key = locks, key

    async def __aenter__(self) -> None:
        lock, wanted = self._locks.get(self._key, (asyncio.Lock(), 0))
        self._locks[self._key] = (lock, wanted + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._locks[self._key][0].release()
        self._leave()

    def _leave(self) -> None:
        lock, wanted = self._locks[self._key]
        if wanted == 1:
            del self._locks[self._key]
        else:
            self._locks[self._key] = (lock, wanted - 1)
