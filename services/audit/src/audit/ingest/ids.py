"""Ids of rows that no producer gave one. UUIDv7 (RFC 9562), so that the id tells the row's day."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

from common.ids import created_at

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def record_id(batch_id: UUID, index: int, occurred_at: datetime) -> UUID:
    """Id of one record of a batched event; the same at every delivery."""
    return _version_7(occurred_at, hashlib.sha256(b"record|%s|%d" % (batch_id.bytes, index)).digest())


def copy_id(event_id: UUID) -> UUID:
    """Id of an operator's act in the log of the platform; the act itself is in that of the tenant."""
    born = created_at(event_id) or _EPOCH
    return _version_7(born, hashlib.sha256(b"operator|" + event_id.bytes).digest())


def shadow_id(key: bytes, event_id: UUID, victim: UUID, occurred_at: datetime) -> UUID:
    """Id of an event's row in another tenant's log; without `key` nobody can tell the two belong together."""
    message = b"shadow|%s|%s" % (event_id.bytes, victim.bytes)
    return _version_7(occurred_at, hmac.digest(key, message, "sha256"))


def _version_7(moment: datetime, digest: bytes) -> UUID:
    milliseconds = (moment - _EPOCH) // _MILLISECOND
    bits = int.from_bytes(digest[:10], "big")
    high, low = (bits >> 62) & 0xFFF, bits & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
