"""Secrets at rest: AES-256-GCM with a key of KEY_ENCRYPTION_KEY, bound to the name of what they belong to.

What is stored is a header, which says the key's id, then nonce and ciphertext. What was stored before keys
had ids has no header.
"""

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field, SecretStr

from common.settings import ServiceSettings

_MARK = b"pmk1"
_ID_BYTES = 8
HEADER_BYTES = len(_MARK) + _ID_BYTES
NO_ID = "without an id"
_NONCE_BYTES = 12


class Unreadable(RuntimeError):
    """A stored secret does not open with KEY_ENCRYPTION_KEY, or is not the one its row says."""


class EncryptionKeys:
    """The first key seals; every one opens what it has sealed."""

    def __init__(self, text: str) -> None:
        """Of the value of KEY_ENCRYPTION_KEY.

        Raises:
            ValueError: a key is not 32 bytes of hex.
        """
        keys = [_read(part) for part in text.split(",")]
        self._keys = {_id_of(key): AESGCM(key) for key in keys}
        self.current = _id_of(keys[0])

    @property
    def header(self) -> bytes:
        """What everything begins with that the first key has sealed."""
        return _MARK + bytes.fromhex(self.current)

    def knows(self, key_id: str) -> bool:
        """Whether what `sealed_with` says this of may be opened."""
        return key_id in self._keys or key_id == NO_ID

    def seal(self, plain: bytes, name: str) -> bytes:
        """`plain` for storage; it opens under the same name only."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.header + nonce + self._keys[self.current].encrypt(nonce, plain, name.encode())

    def unseal(self, sealed: bytes, name: str) -> bytes:
        """What was sealed under `name`.

        Raises:
            Unreadable: another key or name sealed it, or it was tampered with.
        """
        key_id = sealed_with(sealed)
        key = self._keys.get(key_id)
        if key is not None and (plain := _open(key, sealed[HEADER_BYTES:], name)) is not None:
            return plain
        for old in self._keys.values():
            if (plain := _open(old, sealed, name)) is not None:
                return plain
        if not self.knows(key_id):
            raise Unreadable(
                f"{name} is sealed with the encryption key {key_id}, which KEY_ENCRYPTION_KEY does not list "
                "(any more)"
            )
        raise Unreadable(f"{name} cannot be decrypted")


class SealingSettings(ServiceSettings):
    """Of a service that keeps secrets in its database."""

    key_encryption_key: SecretStr = Field(
        description="hex, 32 bytes; encrypts the secrets of the database. While one takes the place of "
        "another, several with commas between: the first encrypts, all decrypt"
    )

    @property
    def encryption_keys(self) -> EncryptionKeys:
        """The keys of KEY_ENCRYPTION_KEY."""
        return EncryptionKeys(self.key_encryption_key.get_secret_value())


def sealed_with(sealed: bytes) -> str:
    """The id of the key that has sealed it, by its header; NO_ID where there is none."""
    marked = sealed.startswith(_MARK) and len(sealed) >= HEADER_BYTES
    return sealed[len(_MARK) : HEADER_BYTES].hex() if marked else NO_ID


def _read(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError as error:
        raise ValueError("KEY_ENCRYPTION_KEY must be hex, or several with commas between") from error
    if len(key) != 32:
        raise ValueError("KEY_ENCRYPTION_KEY must be 32 bytes of hex, or several such with commas between")
    return key


def _id_of(key: bytes) -> str:
    """A name that tells nothing of the key."""
    return hmac.digest(key, b"penguinmails encryption key id", "sha256")[:_ID_BYTES].hex()


def _open(key: AESGCM, sealed: bytes, name: str) -> bytes | None:
    try:
        return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
    except (InvalidTag, ValueError):
        return None
