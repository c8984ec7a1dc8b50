"""One attempt at a time, in this process."""

import asyncio


class Turns:
    """One at a time per key, so that parallel attempts cannot outrun the throttle."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def of(self, key: str) -> "_Turn":
        return _Turn(self._locks, key)


class _Turn:
    """`async with` holds the key; the lock goes when nobody wants it any more."""

    def __init__(self, locks: dict[str, tuple[asyncio.Lock, int]], key: str) -> None:
        self._locks, self._key = locks, key

    async def __aenter__(self) -> None:
        lock, wanted = self._locks.get(self._key, (asyncio.Lock(), 0))
        self._locks[self._key] = (lock, wanted + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._locks[self._key][0].release()
        self._leave()

    def _leave(self) -> None:
        lock, wanted = self._locks[self._key]
        if wanted == 1:
            del self._locks[self._key]
        else:
            self._locks[self._key] = (lock, wanted - 1)
