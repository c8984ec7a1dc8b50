"""Opaque tokens: tenant, row and secret in one text of `[A-Za-z0-9_-]`.

The tenant and the row only say where to look; the secret alone opens anything, and the database keeps
no more than its hash. Secrets have 256 bits, so a plain SHA-256 is enough (no salt, no stretching).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

_SECRET_BYTES = 32
_BYTES = 16 + 16 + _SECRET_BYTES
_CHARACTERS = 86
"""Length of the text: 64 bytes of base64url without padding."""


@dataclass(frozen=True, slots=True)
class OpaqueToken:
    tenant_id: UUID
    row_id: UUID
    secret: bytes

    @property
    def text(self) -> str:
        raw = self.tenant_id.bytes + self.row_id.bytes + self.secret
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    @property
    def secret_hash(self) -> bytes:
        return hashlib.sha256(self.secret).digest()

    def opens(self, stored_hash: bytes) -> bool:
        """Whether the stored hash is this secret's."""
        return hmac.compare_digest(self.secret_hash, stored_hash)


def random_token(tenant_id: UUID, row_id: UUID) -> OpaqueToken:
    return OpaqueToken(tenant_id, row_id, secrets.token_bytes(_SECRET_BYTES))


def derived_token(key_hex: str, purpose: str, tenant_id: UUID, row_id: UUID) -> OpaqueToken:
    """The one token of a row, made again whenever it is needed instead of being stored."""
    message = f"{purpose}|{tenant_id}|{row_id}".encode()
    return OpaqueToken(tenant_id, row_id, hmac.digest(bytes.fromhex(key_hex), message, "sha256"))


def read_token(text: str) -> OpaqueToken | None:
    """The parts of a token's text, or None when it is none."""
    if len(text) != _CHARACTERS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    token = OpaqueToken(UUID(bytes=raw[:16]), UUID(bytes=raw[16:32]), raw[32:])
    return token if len(raw) == _BYTES and token.text == text else None
