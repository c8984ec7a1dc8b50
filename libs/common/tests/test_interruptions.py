"""A cancellation from inside a client library is a broken connection, not an order to stop."""

import asyncio

import asyncpg
import pytest
from aiokafka.errors import KafkaError

from common.bus.interruptions import INTERRUPTIONS, own_cancellation_only
from common.db.errors import is_unavailable


def test_a_statement_begun_as_its_connection_dies_ends_the_term_only() -> None:
    """asyncpg: cannot switch to state 12; another operation (2) is in progress."""
    died = asyncpg.InternalClientError("cannot switch to state")
    assert isinstance(died, INTERRUPTIONS)
    assert is_unavailable(died)


async def test_a_future_cancelled_by_somebody_else_is_an_interruption() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    with pytest.raises(KafkaError):
        async with own_cancellation_only():
            await future


async def test_our_own_cancellation_stays_one() -> None:
    async def work() -> None:
        async with own_cancellation_only():
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failing_farewell_does_not_bring_a_cancelled_task_back() -> None:
    async def work() -> None:
        async with own_cancellation_only():
            try:
                await asyncio.sleep(60)
            finally:
                raise ConnectionResetError("while cleaning up")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
