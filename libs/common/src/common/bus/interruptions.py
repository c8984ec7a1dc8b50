"""What ends a relay's or consumer's term but not its life."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
from aiokafka.errors import KafkaError

INTERRUPTIONS = (OSError, TimeoutError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""The database or the broker is away or went away; begin again."""


@asynccontextmanager
async def own_cancellation_only() -> AsyncGenerator[None]:
    """Turn a cancellation that nobody asked of this task into a `KafkaError`.

    aiokafka cancels the futures of a connection it closes, and whoever awaits them would end as if
    the task had been told to stop.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise KafkaError("the client cancelled a request") from error
