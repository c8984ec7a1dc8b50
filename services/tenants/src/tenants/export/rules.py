"""Pure rules of exports: how long everything takes at most, and links that are good for a while."""

import base64
import binascii
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tenants.deletion.rules import SERVICES

PATIENCE = timedelta(hours=1)
"""So long a service may take for its part."""
LINK_LASTS = timedelta(hours=24)
PARTS = SERVICES
"""Each has something of every tenant."""

_TAG_BYTES = 24


def missing_parts(written: Iterable[str]) -> list[str]:
    """The services that have not written their part."""
    return sorted(PARTS - {*written})


def sign_link(secret_hex: str, tenant_id: UUID, job_id: UUID, expires_at: datetime) -> str:
    """The part of a URL that lets its bearer, and nobody else, fetch one archive until then."""
    payload = tenant_id.bytes + job_id.bytes + int(expires_at.timestamp()).to_bytes(8, "big")
    return base64.urlsafe_b64encode(payload + _tag(secret_hex, payload)).rstrip(b"=").decode()


def read_link(secret_hex: str, signed: str, now: datetime) -> tuple[UUID, UUID] | None:
    """Tenant and job of a link that is not over, or None."""
    try:
        raw = base64.b64decode(signed + "=" * (-len(signed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    payload, tag = raw[:40], raw[40:]
    if len(payload) != 40 or not hmac.compare_digest(tag, _tag(secret_hex, payload)):
        return None
    if datetime.fromtimestamp(int.from_bytes(payload[32:], "big"), tz=UTC) <= now:
        return None
    return UUID(bytes=payload[:16]), UUID(bytes=payload[16:32])


def _tag(secret_hex: str, payload: bytes) -> bytes:
    return hmac.digest(bytes.fromhex(secret_hex), b"export|" + payload, "sha256")[:_TAG_BYTES]
