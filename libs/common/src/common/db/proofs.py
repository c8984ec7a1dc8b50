"""Proofs with which a service enters a tenant; checked by `tenancy.enter` in the database.

HMAC-SHA256 (RFC 2104) over the context and the backend's process id, so a proof is worth nothing to
another connection. The database keeps the key as its two pads in a table no service role can read.
Numbers are signed and big-endian, as PostgreSQL's own binary form has them.
"""

import hashlib
import hmac
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

_BLOCK = 64
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""What PostgreSQL counts its microseconds from."""
_MICROSECOND = timedelta(microseconds=1)


class Prover:
    """Makes proofs with one service's tenancy key (hex text, at least 32 bytes)."""

    def __init__(self, key_hex: str) -> None:
        self._key = bytes.fromhex(key_hex)
        if len(self._key) < 32:
            raise ValueError("TENANCY_KEY must be at least 32 bytes of hex")

    def user(self, tenant: UUID, member: UUID, session: UUID, issued_at: datetime, pid: int) -> bytes:
        """Proof for `tenancy.enter`."""
        instant = (issued_at - _EPOCH) // _MICROSECOND
        ids = tenant.bytes + member.bytes + session.bytes
        return self._mac(b"user" + ids + struct.pack(">qi", instant, pid))

    def system(self, tenant: UUID, purpose: str, pid: int) -> bytes:
        """Proof for `tenancy.enter_system`."""
        return self._mac(b"system" + tenant.bytes + struct.pack(">i", pid) + purpose.encode())

    def pads(self) -> tuple[bytes, bytes]:
        """The key as HMAC's inner and outer pad (64 bytes each), for `tenancy.keys`."""
        key = hashlib.sha256(self._key).digest() if len(self._key) > _BLOCK else self._key
        key = key.ljust(_BLOCK, b"\0")
        return bytes(b ^ 0x36 for b in key), bytes(b ^ 0x5C for b in key)

    def _mac(self, message: bytes) -> bytes:
        return hmac.digest(self._key, message, "sha256")
