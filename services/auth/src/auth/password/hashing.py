"""Argon2id in a bounded pool of threads, off the event loop."""

import asyncio
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret

from common.errors import Unavailable

_HASH_BYTES = 32
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Parameters:
    """One address's salt and cost. OWASP's floor: 19 MiB, two passes, one lane."""

    salt: bytes
    time_cost: int = 2
    memory_kib: int = 19 * 1024
    parallelism: int = 1


def fresh_parameters() -> Parameters:
    return Parameters(os.urandom(_SALT_BYTES))


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
        if self._busy >= self._room:
            raise Unavailable(retry_after=2)
        self._busy += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, _compute, password, parameters)
        finally:
            self._busy -= 1


def _compute(password: str, parameters: Parameters) -> str:
    encoded = hash_secret(
        unicodedata.normalize("NFKC", password).encode(),
        parameters.salt,
        parameters.time_cost,
        parameters.memory_kib,
        parameters.parallelism,
        _HASH_BYTES,
        Type.ID,
    )
    return encoded.decode()
