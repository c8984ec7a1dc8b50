"""Argon2id in a bounded pool of threads, off the event loop."""

import asyncio
import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret

from common.errors import Unavailable

_HASH_BYTES = 32
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True, order=True)
class Cost:
    """What one computation takes. OWASP's floor: two passes over 19 MiB, one lane."""

    time_cost: int = 2
    memory_kib: int = 19 * 1024
    parallelism: int = 1


FLOOR = Cost()


@dataclass(frozen=True, slots=True)
class Parameters:
    """One address's salt, and a cost."""

    salt: bytes
    cost: Cost = FLOOR


def fresh_parameters(cost: Cost = FLOOR) -> Parameters:
    return Parameters(os.urandom(_SALT_BYTES), cost)


class Hasher:
    """Computes at most `threads` hashes at a time and lets at most `queue` wait."""

    def __init__(self, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._room = threads + queue
        self._busy = 0

    async def hash(self, password: str, parameters: Parameters) -> str:
        """The PHC string of the password (Unicode normalised, NFKC).

        Raises:
            Unavailable: too many computations are waiting.
        """
        (computed,) = await self.hash_each(password, parameters.salt, [parameters.cost])
        return computed

    async def hash_each(self, password: str, salt: bytes, costs: Sequence[Cost]) -> list[str]:
        """The same for each of the costs, one after the other.

        Raises:
            Unavailable: too many computations are waiting.
        """
        if self._busy >= self._room:
            raise Unavailable(retry_after=2)
        self._busy += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, _compute_each, password, salt, costs)
        finally:
            self._busy -= 1


def _compute_each(password: str, salt: bytes, costs: Sequence[Cost]) -> list[str]:
    return [_compute(password, salt, cost) for cost in costs]


def _compute(password: str, salt: bytes, cost: Cost) -> str:
    encoded = hash_secret(
        unicodedata.normalize("NFKC", password).encode(),
        salt,
        cost.time_cost,
        cost.memory_kib,
        cost.parallelism,
        _HASH_BYTES,
        Type.ID,
    )
    return encoded.decode()
