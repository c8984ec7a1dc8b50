"""Cursor pagination over UUIDv7 keys: newest first, stable under inserts, one tenant per cursor."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from common.db.session import TenantSession
from common.errors import InvalidCursor

_TAG_BYTES = 12
RowT = TypeVar("RowT")


class Cursors:
    """Signs positions so that a client can neither read, make nor carry over a cursor."""

    def __init__(self, secret_hex: str) -> None:
        self._key = bytes.fromhex(secret_hex)

    def encode(self, tenant_id: UUID, listing: str, last: UUID) -> str:
        payload = last.bytes + self._tag(tenant_id, listing, last)
        return base64.urlsafe_b64encode(payload).decode().rstrip("=")

    def decode(self, tenant_id: UUID, listing: str, cursor: str) -> UUID:
        """The position.

        Raises:
            InvalidCursor: malformed, or made for another tenant or list.
        """
        try:
            payload = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            last = UUID(bytes=payload[:16])
        except (ValueError, binascii.Error) as error:
            raise InvalidCursor from error
        if not hmac.compare_digest(payload[16:], self._tag(tenant_id, listing, last)):
            raise InvalidCursor
        return last

    def _tag(self, tenant_id: UUID, listing: str, last: UUID) -> bytes:
        message = f"cursor|{tenant_id}|{listing}|{last}".encode()
        return hmac.digest(self._key, message, "sha256")[:_TAG_BYTES]


async def page(
    session: TenantSession,
    cursors: Cursors,
    statement: Select[RowT],
    key: InstrumentedAttribute[UUID],
    *,
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[RowT], str | None]:
    """One page of `statement` ordered by `key` descending, and the next cursor.

    A cursor belongs to its tenant and to the list of this very `key`; filters may change between pages.
    """
    listing = str(key)
    if cursor is not None:
        statement = statement.where(key < cursors.decode(session.tenant_id, listing, cursor))
    rows = (await session.scalars(statement.order_by(key.desc()).limit(limit + 1))).all()
    if len(rows) <= limit:
        return rows, None
    last: UUID = getattr(rows[limit - 1], key.key)
    return rows[:limit], cursors.encode(session.tenant_id, listing, last)
