"""Back-off after failures, per key, by all replicas together where they have a store (`RATE_LIMIT_URL`)."""

import asyncio
import contextlib
import hmac
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from common.errors import TooManyRequests
from common.web.store import Store, StoreAway

_KEYS = 50_000
"""Keys remembered here; the one that failed longest ago is forgotten first."""
# A failure more, and the wait that follows from it; both keys end by themselves, so no clock is compared.
_NOTE = """
local failures = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local over = failures - tonumber(ARGV[1])
if over >= 0 then
    local wait = math.min(2 ^ math.min(over, 32) * 1000, tonumber(ARGV[2]))
    redis.call('SET', KEYS[2], '', 'PX', math.floor(wait))
end
return failures
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """`free` failures pass; then each further attempt waits twice as long as the one before.

    Waits end at `longest` seconds and everything is forgotten after `forget_after` without a failure.
    """

    free: int
    longest: float
    forget_after: float

    def wait(self, failures: int) -> float:
        """Seconds from the last of so many failures to the next attempt."""
        if failures < self.free:
            return 0.0
        return min(2.0 ** min(failures - self.free, 32), self.longest)


@dataclass(slots=True)
class _Record:
    failures: int
    last_at: float


class Memory:
    """Failures that this process has seen."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def left(self, key: str) -> float:
        """Seconds until the next attempt."""
        record = self._fresh(key)
        if record is None:
            return 0.0
        return record.last_at + self._patience.wait(record.failures) - self._now()

    def note_failure(self, key: str) -> None:
        record = self._fresh(key)
        failures = 1 if record is None else record.failures + 1
        self._records[key] = _Record(failures, self._now())
        self._records.move_to_end(key)
        if len(self._records) > _KEYS:
            self._records.popitem(last=False)

    def forget(self, key: str) -> None:
        self._records.pop(key, None)

    def _fresh(self, key: str) -> _Record | None:
        record = self._records.get(key)
        if record is not None and self._now() - record.last_at > self._patience.forget_after:
            del self._records[key]
            return None
        return record

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class Throttle:
    """Makes attempts wait that come too early after failures, wherever those were seen.

    The process remembers its own too, for the time in which the store is away. The store learns keys under a
    keyed hash only, so neither addresses nor networks.
    """

    def __init__(self, name: str, patience: Patience, store: Store, secret: str) -> None:
        self._name, self._patience, self._key = name, patience, bytes.fromhex(secret)
        self._memory, self._store = Memory(patience), store

    async def check(self, key: str) -> None:
        """Refuse an attempt that comes too early.

        Raises:
            TooManyRequests: with the seconds to wait.
        """
        left = max(self._memory.left(key), await self._left_for_all(key))
        if left > 0:
            raise TooManyRequests(math.ceil(left))

    async def note_failure(self, key: str) -> None:
        """Count a failure against the key."""
        self._memory.note_failure(key)
        if (store := self._store.client) is not None and self._store.is_there:
            free, longest, lasts = self._patience.free, self._patience.longest, self._patience.forget_after
            numbers = (str(int(number)) for number in (free, longest * 1000, lasts * 1000))
            noted: Any = store.eval(_NOTE, 2, *self._names(key), *numbers)  # it says it may be no awaitable
            with contextlib.suppress(StoreAway):
                await self._store.ask(noted)

    async def forget(self, key: str) -> None:
        """Start afresh: the address has been proven in another way."""
        self._memory.forget(key)
        if (store := self._store.client) is not None and self._store.is_there:
            with contextlib.suppress(StoreAway):
                await self._store.ask(store.delete(*self._names(key)))

    async def _left_for_all(self, key: str) -> float:
        if (store := self._store.client) is not None and self._store.is_there:
            with contextlib.suppress(StoreAway):
                return await self._store.ask(store.pttl(self._names(key)[1])) / 1000
        return 0.0

    def _names(self, key: str) -> tuple[str, str]:
        digest = hmac.digest(self._key, f"{self._name}|{key}".encode(), "sha256").hex()
        return f"penguinmails/failures/{digest}", f"penguinmails/wait/{digest}"
