"""How many requests a tenant may make in a minute: counted once authenticated, shown on every answer.

The count is the tenant's, over all its users and all services. A limit is known from the last time that
anybody of the tenant was let in, so a request that passes costs no query of its own. Two things ask the
database: a tenant this process has not met for a minute, and, at most twice a second, one at its limit,
whose refused requests would otherwise never learn of a better one.

With `RATE_LIMIT_URL` all replicas of all services share the counts. Whoever has thousands of requests left
does not wait for them: of so many, a thousandth is let pass on what the store said last, and counted just
after. Without it, and while that store is away, each process counts what it sees itself: requests go on, and
none is refused that the store would have let pass.
"""

import asyncio
import contextlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import RateLimiter as Counter
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from valkey.asyncio import ConnectionPool

from common.context import OperatorContext, UserContext
from common.db.errors import EntryRefused, MemberUnknown, is_unavailable
from common.db.session import Database
from common.flags import number_of
from common.networks import network_of
from common.web.store import Store, StoreAway

CountedFor = Literal["tenant", "session", "operator", "address"]
WINDOW_SECONDS = 60
FIRST_LIMIT = 300
"""The limit of a tenant that the database does not know yet: the smallest plan's."""
OPERATOR_LIMIT = 600
"""That of one operator."""

_TENANTS = 50_000
"""Limits remembered; the tenant away for longest is forgotten first."""
_ADDRESSES = 1 << 18
"""Counters for networks of clients nobody knows: two may have one, and nobody can say which."""
_KEPT_SECONDS = 60.0
_REFUSED_SECONDS = 0.5
"""How old a limit may be that a request is refused by."""
_REST_SECONDS = 5.0
_SHARE = 1000
_MOST = 100
"""Of so many requests left, one may be let pass before it is counted; never more than `_MOST`."""
_SETTLE_SECONDS = 0.1
_TRUSTED_SECONDS = 1.0
"""How long what the store said is gone by."""


class _Requests(RateLimitItemPerMinute):
    """Requests of one minute. The limit is no part of the key: the count outlives a change of it."""

    def key_for(self, *identifiers: bytes | str | int | float) -> str:
        return "/".join((self.namespace, *map(str, identifiers)))


class _Memory(MemoryStorage):
    """Counters of this process. The library looks for expired ones, among those of all tenants, at every hit;
    here it rests in between, so that nobody's requests take longer for the number of tenants."""

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        before = self.timer
        count = await super().incr(key, expiry, amount)
        if self.timer is not before and self.timer is not None:
            self.timer = asyncio.create_task(_rest_after(self.timer))
        return count

    async def stop(self) -> None:
        """Look no more."""
        if self.timer is not None:
            self.timer.cancel()
            await asyncio.gather(self.timer, return_exceptions=True)


async def _rest_after(sweep: asyncio.Task[None]) -> None:
    await sweep
    await asyncio.sleep(_REST_SECONDS)


@dataclass(frozen=True, slots=True)
class Quota:
    """Where a request left its caller; `reset` is in seconds."""

    counted_for: CountedFor
    allowed: bool
    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers writes it."""
        return {
            "RateLimit-Policy": f'"{self.counted_for}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.counted_for}";r={self.remaining};t={self.reset}',
        }


class _Place(NamedTuple):
    """What is counted where, and how far."""

    key: str
    counted_for: CountedFor
    limit: int


@dataclass(frozen=True, slots=True)
class _Known:
    """`features`: those that `limit` was found in, so that the same ones are not evaluated again."""

    limit: int
    at: float
    features: Mapping[str, Any]


@dataclass(slots=True)
class _Account:
    """What the store said last of a place, when, and how many have passed that it was not told of."""

    quota: Quota
    at: float
    owed: int = 0

    def lend(self, now: float) -> Quota | None:
        """Let one more request pass, if that is few of what was left."""
        told = self.quota
        if now - self.at > _TRUSTED_SECONDS or self.owed >= min(told.remaining // _SHARE, _MOST):
            return None
        self.owed += 1
        return Quota(told.counted_for, True, told.limit, told.remaining - self.owed, told.reset)

    def settle(self) -> int:
        """How many the store is to be told of, from whoever asks now."""
        owed, self.owed = self.owed, 0
        return owed


class RateLimiter:
    """Counts requests. An empty `url` counts in this process; `secret` (hex) is what keeps addresses of
    clients out of the counters' names. No name holds the service: all of them count together."""

    def __init__(self, database: Database, url: str = "", secret: str = "") -> None:
        self._database, self._key = database, bytes.fromhex(secret)
        self._known: OrderedDict[UUID, _Known] = OrderedDict()
        self._asking: dict[UUID, asyncio.Task[None]] = {}
        self._memory = _Memory()
        self._local = SlidingWindowCounterRateLimiter(self._memory)
        self.store = Store(url)
        self._shared = _shared_counter(self.store.pool) if self.store.pool else None
        self._waiting: dict[_Place, list[asyncio.Future[Quota]]] = {}
        self._accounts: OrderedDict[_Place, _Account] = OrderedDict()
        self._settling: set[asyncio.Task[None]] = set()

    async def take(self, caller: UserContext, counted_for: CountedFor = "tenant") -> Quota:
        """Count one request of the caller's tenant, or of the caller's session alone."""
        key = str(caller.tenant_id)
        if counted_for == "session":
            key = f"{key}/{caller.session_id}"
        limit = await self._limit_of(caller, _KEPT_SECONDS)
        quota = await self._count(key, counted_for, limit)
        if quota.allowed:
            return quota
        newer = await self._limit_of(caller, _REFUSED_SECONDS)
        return quota if newer == limit else await self._count(key, counted_for, newer)

    async def take_operator(self, operator: OperatorContext) -> Quota:
        """Count one request of the operator."""
        return await self._count(f"operator/{operator.operator_id}", "operator", OPERATOR_LIMIT)

    async def take_address(self, what: str, address: str, limit: int) -> Quota:
        """Count one request for `what` of the network of a client who is nobody yet."""
        digest = hmac.digest(self._key, network_of(address).encode(), "sha256")
        place = int.from_bytes(digest[:8], "big") % _ADDRESSES
        return await self._count(f"{what}/{place}", "address", limit)

    def learn(self, tenant_id: UUID, features: Mapping[str, Any]) -> None:
        """Note the limit among the features that the tenant has now."""
        known = self._known.get(tenant_id)
        if known is not None and (known.features is features or known.features == features):
            self._remember(tenant_id, known.limit, features)
        else:
            limit = number_of("api_rate_limit", tenant_id, features, FIRST_LIMIT)
            self._remember(tenant_id, limit, features)

    async def close(self) -> None:
        """Let the counters and the store go."""
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        await self._memory.stop()
        await self.store.close()

    def _remember(self, tenant_id: UUID, limit: int, features: Mapping[str, Any]) -> None:
        self._known[tenant_id] = _Known(limit, time.monotonic(), features)
        self._known.move_to_end(tenant_id)
        if len(self._known) > _TENANTS:
            self._known.popitem(last=False)

    async def _limit_of(self, caller: UserContext, max_age: float) -> int:
        known = self._known.get(caller.tenant_id)
        if known is None or time.monotonic() - known.at > max_age:
            await self._ask_once(caller)
            known = self._known.get(caller.tenant_id)
        return known.limit if known else FIRST_LIMIT

    async def _ask_once(self, caller: UserContext) -> None:
        """Ask the database; whoever wants to know the same meanwhile waits for the same answer."""
        tenant_id = caller.tenant_id
        task = self._asking.get(tenant_id)
        if task is None:
            task = self._asking[tenant_id] = asyncio.create_task(self._ask(caller))
            task.add_done_callback(lambda _: self._asking.pop(tenant_id, None))
        await asyncio.shield(task)

    async def _ask(self, caller: UserContext) -> None:
        """Enter as the caller; the request itself will say what is wrong with one who is not let in."""
        try:
            async with self._database.tenant(caller) as session:
                self.learn(caller.tenant_id, session.standing.features)
        except Exception as error:
            if not (isinstance(error, EntryRefused | MemberUnknown) or is_unavailable(error)):
                raise
            known = self._known.get(caller.tenant_id)
            self._remember(
                caller.tenant_id,
                known.limit if known else FIRST_LIMIT,
                known.features if known else {},
            )

    async def _count(self, key: str, counted_for: CountedFor, limit: int) -> Quota:
        place = _Place(key, counted_for, limit)
        if self._shared is not None and self.store.is_there:
            lent = self._lend(self._shared, place)
            if lent is not None:
                return lent
            with contextlib.suppress(StoreAway):
                return await self._count_together(self._shared, place)
        (quota,) = await _hit(self._local, place)
        return quota

    def _lend(self, counter: Counter, place: _Place) -> Quota | None:
        """Let a request pass that is counted soon; None when it has to be counted first."""
        account = self._accounts.get(place)
        lent = account.lend(time.monotonic()) if account is not None else None
        if account is not None and lent is not None and account.owed == 1:
            task = asyncio.create_task(self._settle(counter, place, account))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        return lent

    async def _settle(self, counter: Counter, place: _Place, account: _Account) -> None:
        """Tell the store of what was let pass. While it is away nobody is told."""
        await asyncio.sleep(_SETTLE_SECONDS)
        owed = account.settle()
        if owed:
            with contextlib.suppress(StoreAway):
                self._note(place, (await self.store.ask(_hit(counter, place, owed)))[-1])

    def _note(self, place: _Place, quota: Quota) -> None:
        """Keep what the store said, if anything may be let pass by it."""
        now = time.monotonic()
        account = self._accounts.get(place)
        if account is not None:
            account.quota, account.at = quota, now
        elif quota.remaining >= _SHARE:
            self._accounts[place] = _Account(quota, now)
            if len(self._accounts) > _TENANTS:
                self._accounts.popitem(last=False)

    async def _count_together(self, counter: Counter, place: _Place) -> Quota:
        """Ask the store; once for all who come while the question before is on its way."""
        answer = asyncio.get_running_loop().create_future()
        if place in self._waiting:
            self._waiting[place].append(answer)
        else:
            self._waiting[place] = []
            self._ask_for([answer], counter, place)
        return await answer

    def _ask_for(self, asking: list[asyncio.Future[Quota]], counter: Counter, place: _Place) -> None:
        account = self._accounts.get(place)
        owed = account.settle() if account is not None else 0
        task = asyncio.create_task(self.store.ask(_hit(counter, place, owed + len(asking))))
        task.add_done_callback(lambda done: self._answer(done, asking, counter, place))

    def _answer(
        self,
        done: asyncio.Task[list[Quota]],
        asking: list[asyncio.Future[Quota]],
        counter: Counter,
        place: _Place,
    ) -> None:
        failure = asyncio.CancelledError() if done.cancelled() else done.exception()
        if failure is None:
            self._note(place, done.result()[-1])
        for number, answer in enumerate(asking, -len(asking)):
            if answer.done():
                continue
            if failure is not None:
                answer.set_exception(failure)
            else:
                answer.set_result(done.result()[number])
        waiting = self._waiting.pop(place)
        if waiting:
            self._waiting[place] = []
            self._ask_for(waiting, counter, place)


def _shared_counter(pool: ConnectionPool) -> Counter:
    options: dict[str, Any] = {"connection_pool": pool}  # documented, but not in the annotation
    storage = RedisStorage("async+valkey://", key_prefix="penguinmails", **options)
    return SlidingWindowCounterRateLimiter(storage)


async def _hit(counter: Counter, place: _Place, requests: int = 1) -> list[Quota]:
    """Count so many requests, or as many of them as there is room for. Refused requests are not counted: who
    slows down gets on at once."""
    item = _Requests(place.limit)
    allowed = requests
    while allowed and not await counter.hit(item, place.key, cost=allowed):
        left = await counter.get_window_stats(item, place.key)
        allowed = min(allowed - 1, left.remaining)
    left = await counter.get_window_stats(item, place.key)
    reset = max(1, math.ceil(left.reset_time - time.time()))
    refused = Quota(place.counted_for, False, place.limit, 0, reset)
    return [
        Quota(place.counted_for, True, place.limit, left.remaining + later, reset)
        for later in reversed(range(allowed))
    ] + [refused] * (requests - allowed)
