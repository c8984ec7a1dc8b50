"""DKIM keys: made off the event loop, sealed for storage, opened again."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from campaigns.domain.rules import SELECTOR_HEX, SELECTOR_PREFIX
from common.errors import Unavailable

KEY_BITS = 2048
_NONCE_BYTES = 12


class KeyUnreadable(RuntimeError):
    """A stored key does not open with KEY_ENCRYPTION_KEY, or belongs to another domain."""


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A DKIM key as it is stored: the public half in base64, the private half encrypted."""

    selector: str
    public: str
    private: bytes


class KeyMaker:
    """Makes at most `threads` keys at a time and lets at most `queue` requests wait for their turn."""

    def __init__(self, encryption_key: str, threads: int, queue: int) -> None:
        self._encryption_key = bytes.fromhex(encryption_key)
        if len(self._encryption_key) != 32:
            raise ValueError("KEY_ENCRYPTION_KEY must be 32 bytes of hex")
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
        return await loop.run_in_executor(self._pool, _make, tenant_id, domain_id, self._encryption_key)


def _make(tenant_id: UUID, domain_id: UUID, encryption_key: bytes) -> SealedKey:
    private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    plain = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + AESGCM(encryption_key).encrypt(nonce, plain, _bound_to(tenant_id, domain_id))
    selector = SELECTOR_PREFIX + secrets.token_hex(SELECTOR_HEX // 2)
    return SealedKey(selector, base64.b64encode(public).decode(), sealed)


def unseal(tenant_id: UUID, domain_id: UUID, sealed: bytes, encryption_key: bytes) -> rsa.RSAPrivateKey:
    """The private key that was sealed for this domain of this tenant.

    Raises:
        KeyUnreadable: another encryption key sealed it, it is another domain's, or it was tampered with.
    """
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        plain = AESGCM(encryption_key).decrypt(nonce, ciphertext, _bound_to(tenant_id, domain_id))
    except (InvalidTag, ValueError) as error:
        raise KeyUnreadable(f"the DKIM key of domain {domain_id} cannot be decrypted") from error
    private = serialization.load_der_private_key(plain, password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise KeyUnreadable(f"the DKIM key of domain {domain_id} is of another kind")
    return private


def _bound_to(tenant_id: UUID, domain_id: UUID) -> bytes:
    """So that a row's key opens for no other row, whoever copies it."""
    return f"dkim|{tenant_id}|{domain_id}".encode()
