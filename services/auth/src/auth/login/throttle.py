"""Back-off after failures, per key, by all replicas together where they have a store (`RATE_LIMIT_URL`)."""

import asyncio
import contextlib
import hmac
import math
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import TooManyRequests
from common.web.store import Store, StoreAway

_LEASE_MS = 30_000
"""After which an attempt counts as ended whose process has died; none takes nearly as long."""
_FULL = math.inf
"""The wait for attempts under way that would use up what is left, should they fail."""
_ROOM_SECONDS = 5.0
"""So long an attempt waits for one of those to end well. Whoever shares a network with many may have to."""
_LOOK_AGAIN = 0.1
_MEANWHILE = 1
"""Seconds that one is told to wait for which there was no room."""
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
# An attempt begins unless it must wait, or those under way would use up what is left should they fail.
_BEGIN = """
local left = redis.call('PTTL', KEYS[2])
if left > 0 then return left end
local failures = tonumber(redis.call('GET', KEYS[1]) or 0)
local trying = tonumber(redis.call('GET', KEYS[3]) or 0)
if trying > 0 and failures + trying >= tonumber(ARGV[1]) then return -1 end
redis.call('INCR', KEYS[3])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return 0
"""
_END = """
if tonumber(redis.call('GET', KEYS[1]) or 0) > 1 then return redis.call('DECR', KEYS[1]) end
return redis.call('DEL', KEYS[1])
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
        self._trying: Counter[str] = Counter()

    def left(self, key: str) -> float:
        """Seconds until the next attempt; or `_FULL`."""
        record, trying = self._fresh(key), self._trying[key]
        failures = 0 if record is None else record.failures
        if trying and failures + trying >= self._patience.free:
            return _FULL
        if record is None:
            return 0.0
        return record.last_at + self._patience.wait(failures) - self._now()

    @contextlib.contextmanager
    def attempt(self, key: str) -> Generator[None]:
        """One attempt that is under way."""
        self._trying[key] += 1
        try:
            yield
        finally:
            self._trying -= Counter({key: 1})

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

    @contextlib.asynccontextmanager
    async def attempt(self, key: str) -> AsyncGenerator[None]:
        """One attempt. However many come at once, no more are under way than may fail; the others wait for
        their turn.

        Raises:
            TooManyRequests: it comes too early, or its turn did not come; with the seconds to wait.
        """
        begun = await self._begin(key)
        try:
            with self._memory.attempt(key):
                yield
        finally:
            if begun:
                await self._ask(_END, self._names(key)[2:])

    async def _begin(self, key: str) -> bool:
        """Whether the store counts the attempt, as soon as there is room for it.

        Raises:
            TooManyRequests: failures make it wait, or there was no room for too long.
        """
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + _ROOM_SECONDS
        left, begun = await self._left(key)
        while left == _FULL and clock() < give_up_at:
            await asyncio.sleep(_LOOK_AGAIN)
            left, begun = await self._left(key)
        if left > 0:
            raise TooManyRequests(_MEANWHILE if left == _FULL else math.ceil(left))
        return begun

    async def _left(self, key: str) -> tuple[float, bool]:
        """Seconds until the next attempt, or `_FULL`; if none, whether the store counts this one."""
        left = self._memory.left(key)
        if left > 0:
            return left, False
        told = await self._ask(_BEGIN, self._names(key), self._patience.free, _LEASE_MS)
        if told is None:
            return 0.0, False
        return (_FULL if told < 0 else told / 1000), told == 0

    async def note_failure(self, key: str) -> None:
        """Count a failure against the key."""
        self._memory.note_failure(key)
        patience = self._patience
        await self._ask(
            _NOTE, self._names(key)[:2], patience.free, patience.longest * 1000, patience.forget_after * 1000
        )

    async def forget(self, key: str) -> None:
        """Start afresh: the address has been proven in another way."""
        self._memory.forget(key)
        if (store := self._store.client) is not None and self._store.is_there:
            with contextlib.suppress(StoreAway):
                await self._store.ask(store.delete(*self._names(key)))

    async def _ask(self, script: str, names: Sequence[str], *numbers: float) -> int | None:
        """What the store says; None while there is none."""
        if (store := self._store.client) is None or not self._store.is_there:
            return None
        texts = (str(int(number)) for number in numbers)
        asked: Any = store.eval(script, len(names), *names, *texts)  # it says it may be no awaitable
        with contextlib.suppress(StoreAway):
            return int(await self._store.ask(asked))
        return None

    def _names(self, key: str) -> tuple[str, str, str]:
        digest = hmac.digest(self._key, f"{self._name}|{key}".encode(), "sha256").hex()
        failures, wait, trying = (f"penguinmails/{kind}/{digest}" for kind in ("failures", "wait", "trying"))
        return failures, wait, trying
