"""Points at which a replica ends itself by SIGKILL; armed in the replica's process only."""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from common.bus.offsets import Offsets
from common.bus.publishing import Lane
from common.bus.relay import Relay
from common.db.session import TenantSession

Moment = Literal["before", "after"]

RELAY: dict[str, tuple[type, str, Moment]] = {
    "before send": (Relay, "_send", "before"),
    "between partitions": (Lane, "send", "after"),
    "after ack, before delete": (Relay, "_send", "after"),
    "after delete": (Relay, "_publish_batch", "after"),
}
CONSUMER: dict[str, tuple[type, str, Moment]] = {
    "before commit": (TenantSession, "commit", "before"),
    "after commit, before offset": (TenantSession, "commit", "after"),
    "after offset": (Offsets, "store", "after"),
}


def arm(point: str, step: int) -> None:
    """Die the `step`-th time that `point` is passed; a pass that did nothing (empty result) counts not."""
    owner, name, moment = {**RELAY, **CONSUMER}[point]
    setattr(owner, name, _deadly(getattr(owner, name), moment, step))


def _deadly(
    original: Callable[..., Awaitable[Any]], moment: Moment, step: int
) -> Callable[..., Awaitable[Any]]:
    left = step

    def passed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def deadly(*args: Any, **named: Any) -> Any:
        if moment == "before":
            passed()
        result = await original(*args, **named)
        if moment == "after" and (result is None or result):
            passed()
        return result

    return deadly
