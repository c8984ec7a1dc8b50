"""What ends a relay's or consumer's term but not its life."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from common.db.errors import DRIVER_ERRORS

INTERRUPTIONS = (OSError, TimeoutError, KafkaError, *DRIVER_ERRORS)
"""The database or the broker is away or went away; begin again."""


@asynccontextmanager
async def own_cancellation_only() -> AsyncGenerator[None]:
    """End by cancellation exactly when this task was told to.

    aiokafka cancels the futures of a connection it closes, and whoever awaits them would end as if
    the task had been told to stop: that becomes a `KafkaError`. And what fails while a cancelled task
    cleans up must not bring it back to life: that becomes the cancellation.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if _told_to_stop():
            raise
        raise KafkaError("the client cancelled a request") from error
    except Exception as error:
        if _told_to_stop():
            raise asyncio.CancelledError from error
        raise


def _told_to_stop() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
