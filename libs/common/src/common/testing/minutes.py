"""Rate limits are counted by the minute of the clock."""

import functools
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec

Given = ParamSpec("Given")


def within_a_minute(test: Callable[Given, Awaitable[None]]) -> Callable[Given, Awaitable[None]]:
    """The test, begun anew when a minute of the count ended meanwhile: then a part of it is forgotten.

    Fixtures are not made again, so the test itself makes whose requests it counts."""

    @functools.wraps(test)
    async def run(*args: Given.args, **kwargs: Given.kwargs) -> None:
        while True:
            minute = time.time() // 60
            try:
                return await test(*args, **kwargs)
            except AssertionError:
                if time.time() // 60 == minute:
                    raise

    return run
