"""DKIM keys: made off the event loop, sealed for storage, opened again."""

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from campaigns.domain.rules import SELECTOR_HEX, SELECTOR_PREFIX
from common.errors import Unavailable
from common.sealing import EncryptionKeys, Unreadable

KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A DKIM key as it is stored: the public half in base64, the private half encrypted."""

    selector: str
    public: str
    private: bytes


class KeyMaker:
    """Makes at most `threads` keys at a time and lets at most `queue` requests wait for their turn."""

    def __init__(self, encryption_keys: EncryptionKeys, threads: int, queue: int) -> None:
        self._encryption_keys = encryption_keys
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dkim")
        self._turns = asyncio.Semaphore(threads)
        self._room = threads + queue
        self._busy = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """A place among those who may make a key; wait for it before taking a database connection.

        Raises:
            Unavailable: too many are waiting.
        """
        if self._busy >= self._room:
            raise Unavailable(retry_after=2)
        self._busy += 1
        try:
            async with self._turns:
                yield
        finally:
            self._busy -= 1

    async def make(self, tenant_id: UUID, domain_id: UUID) -> SealedKey:
        """A fresh key of the domain's own; about a tenth of a second of a thread's time."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _make, tenant_id, domain_id, self._encryption_keys)


def _make(tenant_id: UUID, domain_id: UUID, encryption_keys: EncryptionKeys) -> SealedKey:
    private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    plain = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    sealed = encryption_keys.seal(plain, name_of_secret(tenant_id, domain_id))
    selector = SELECTOR_PREFIX + secrets.token_hex(SELECTOR_HEX // 2)
    return SealedKey(selector, base64.b64encode(public).decode(), sealed)


def unseal(
    tenant_id: UUID, domain_id: UUID, sealed: bytes, encryption_keys: EncryptionKeys
) -> rsa.RSAPrivateKey:
    """The private key that was sealed for this domain of this tenant.

    Raises:
        Unreadable: another encryption key sealed it, it is another domain's, or it was tampered with.
    """
    plain = encryption_keys.unseal(sealed, name_of_secret(tenant_id, domain_id))
    private = serialization.load_der_private_key(plain, password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise Unreadable(f"the DKIM key of domain {domain_id} is of another kind")
    return private


def name_of_secret(tenant_id: UUID, domain_id: UUID) -> str:
    """So that a row's key opens for no other row, whoever copies it."""
    return f"dkim|{tenant_id}|{domain_id}"
