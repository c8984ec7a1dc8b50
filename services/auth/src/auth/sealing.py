"""Secrets at rest: AES-256-GCM with KEY_ENCRYPTION_KEY, bound to the name of what they belong to."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Unreadable(RuntimeError):
    """A stored secret does not open with KEY_ENCRYPTION_KEY, or is not the one its row says."""


def read_key(text: str) -> bytes:
    """The key of KEY_ENCRYPTION_KEY.

    Raises:
        ValueError: not 32 bytes of hex.
    """
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError("KEY_ENCRYPTION_KEY must be 32 bytes of hex")
    return key


def seal(plain: bytes, encryption_key: bytes, name: str) -> bytes:
    """`plain` for storage; it opens under the same name only."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(encryption_key).encrypt(nonce, plain, name.encode())


def unseal(sealed: bytes, encryption_key: bytes, name: str) -> bytes:
    """What was sealed under `name`.

    Raises:
        Unreadable: another key or name sealed it, or it was tampered with.
    """
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(encryption_key).decrypt(nonce, ciphertext, name.encode())
    except (InvalidTag, ValueError) as error:
        raise Unreadable(f"{name} cannot be decrypted") from error
