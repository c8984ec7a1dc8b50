"""Rate limits are counted by the minute of the clock."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def in_one_window(attempt: Callable[[], Awaitable[Found]]) -> Found:
    """What `attempt` answers when no minute of the count ends meanwhile: then a part of it is forgotten."""
    while True:
        minute = time.time() // 60
        found = await attempt()
        if time.time() // 60 == minute:
            return found
