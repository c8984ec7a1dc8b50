"""Cursor pagination over UUIDv7 keys: newest first, stable under inserts, one tenant per cursor."""

import base64
import hmac
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Select, Uuid, bindparam, select
from sqlalchemy.orm import InstrumentedAttribute

from common.db.session import AnySession, TenantSession
from common.db.statements import Records, Statement, compile_once
from common.errors import InvalidCursor

_TAG_BYTES = 12
_AFTER, _LIMIT = "after", "page_limit"
RowT = TypeVar("RowT")


class Cursors:
    """Signs positions so that a client can neither read, make nor carry over a cursor."""

    def __init__(self, secret_hex: str) -> None:
        self._key = bytes.fromhex(secret_hex)

    def encode(self, tenant_id: UUID, listing: str, last: UUID) -> str:
        return self._seal(tenant_id, listing, last.bytes)

    def decode(self, tenant_id: UUID, listing: str, cursor: str) -> UUID:
        """The position.

        Raises:
            InvalidCursor: malformed, or made for another tenant or list.
        """
        return UUID(bytes=self._open(tenant_id, listing, cursor))

    def encode_text(self, tenant_id: UUID, listing: str, last: str) -> str:
        """A position in a list that another system keeps, by that system's id."""
        return self._seal(tenant_id, listing, last.encode())

    def decode_text(self, tenant_id: UUID, listing: str, cursor: str) -> str:
        return self._open(tenant_id, listing, cursor).decode()

    def _seal(self, tenant_id: UUID, listing: str, position: bytes) -> str:
        payload = position + self._tag(tenant_id, listing, position)
        return base64.urlsafe_b64encode(payload).decode().rstrip("=")

    def _open(self, tenant_id: UUID, listing: str, cursor: str) -> bytes:
        try:
            payload = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise InvalidCursor from error
        position, tag = payload[:-_TAG_BYTES], payload[-_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(tenant_id, listing, position)):
            raise InvalidCursor
        return position

    def _tag(self, tenant_id: UUID, listing: str, position: bytes) -> bytes:
        message = f"cursor|{tenant_id}|{listing}|".encode() + position
        return hmac.digest(self._key, message, "sha256")[:_TAG_BYTES]


def position_elsewhere(cursors: Cursors, tenant_id: UUID, listing: str, cursor: str | None) -> str | None:
    """What `encode_text` was given; None is the beginning.

    Raises:
        InvalidCursor: malformed, or made for another tenant or list.
    """
    return cursors.decode_text(tenant_id, listing, cursor) if cursor is not None else None


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


class Listing:
    """A list that is read by compiled statements: one for each set of its conditions that somebody asks with.

    `columns` are what an item shows, `key` among them; `conditions` have bind parameters of their own names.
    """

    def __init__(
        self,
        key: InstrumentedAttribute[UUID],
        columns: Sequence[ColumnElement[Any]],
        conditions: Mapping[str, ColumnElement[bool]],
    ) -> None:
        after = key < bindparam(_AFTER, type_=Uuid())
        self.key, self.name = key, str(key)
        self._columns, self._conditions = columns, {**conditions, _AFTER: after}
        self.statement = cache(self._compile)

    def _compile(self, asked: frozenset[str]) -> Statement:
        """The statement with these conditions."""
        narrowed = select(*self._columns).where(*(self._conditions[name] for name in sorted(asked)))
        return compile_once(narrowed.order_by(self.key.desc()).limit(bindparam(_LIMIT, type_=Integer())))


async def read_page(
    session: AnySession, cursors: Cursors, listing: Listing, *, limit: int, cursor: str | None, **asked: Any
) -> tuple[Records, str | None]:
    """As `page`, of a listing; the conditions asked with are those whose values are not None."""
    after = cursors.decode(session.tenant_id, listing.name, cursor) if cursor is not None else None
    given = {key: value for key, value in {**asked, _AFTER: after}.items() if value is not None}
    statement = listing.statement(frozenset(given))
    records = await session.fetch(statement, **given, **{_LIMIT: limit + 1})
    if len(records) <= limit:
        return records, None
    last: UUID = records[limit - 1][listing.key.key]
    return records[:limit], cursors.encode(session.tenant_id, listing.name, last)
