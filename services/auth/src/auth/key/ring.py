"""The signing keys as one process knows them, read again every few seconds.

A key is published, then signs, then is retired, and stays published until its last token has expired.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from auth.key import pairs, queries, rotation
from auth.key.pairs import SigningKey
from auth.models import SigningKeyRow
from common import clock
from common.context import SystemContext
from common.db.errors import is_unavailable
from common.db.session import Database, TenantSession
from common.ids import PLATFORM_TENANT
from common.sealing import EncryptionKeys

log = logging.getLogger(__name__)

_FRESH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Keys:
    active: SigningKey
    published: tuple[dict[str, str], ...]
    """Public halves of all keys whose tokens may be in use, the next one included."""


class KeyRing:
    """Keys of this installation; the first process to ask makes the first key."""

    def __init__(self, database: Database, encryption_keys: EncryptionKeys) -> None:
        self._database = database
        self._encryption_keys = encryption_keys
        self._lock = asyncio.Lock()
        self._keys: Keys | None = None
        self._read_at = float("-inf")

    async def keys(self) -> Keys:
        """The keys, at most `_FRESH_SECONDS` old; older while the database is away."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._keys is None or now - self._read_at > _FRESH_SECONDS:
                self._keys = await self._refresh(self._keys)
                self._read_at = now
            return self._keys

    async def _refresh(self, known: Keys | None) -> Keys:
        try:
            return await self._read()
        except Exception as error:
            if known is None or not is_unavailable(error):
                raise
            log.warning("signing keys not read again", extra={"fields": {"error": type(error).__name__}})
            return known

    async def _read(self) -> Keys:
        async with self._database.tenant(SystemContext(PLATFORM_TENANT, "token", "auth")) as session:
            rows = await queries.list_keys(session)
            changed = await make_first_key(session, rows, self._encryption_keys)
            if changed or await rotation.promote(session, rows, clock.now()):
                rows = await queries.list_keys(session)
                await session.commit()
        in_use = [row for row in rows if not rotation.is_over(row, clock.now())]
        opened = {row.kid: pairs.unseal(row.kid, row.private_key, self._encryption_keys) for row in in_use}
        active = next(row.kid for row in in_use if row.status == "active")
        return Keys(opened[active], tuple(key.public_jwk for key in opened.values()))


async def make_first_key(
    session: TenantSession, known: Sequence[SigningKeyRow], encryption_keys: EncryptionKeys
) -> bool:
    """An active key where none is `known`; whether there is more to read now, made here or elsewhere."""
    if any(row.status == "active" for row in known):
        return False
    await queries.lock_keys(session)
    if not any(row.status == "active" for row in await queries.list_keys(session)):
        row = rotation.new_key("active", encryption_keys)
        row.activated_at = clock.now()
        session.add(row)
        await session.flush()
        log.info("signing key made", extra={"fields": {"kid": row.kid}})
    return True
