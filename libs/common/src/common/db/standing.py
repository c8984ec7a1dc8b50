"""What `tenancy.enter` says of a user."""

import json
import struct
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from common.context import TenantRole, UserContext
from common.db.engine import note_denial
from common.db.errors import EntryRefused, MemberUnknown

_REMEMBERED = 10_000
_ROWS = 1024
_NULL = -1
_TYPE_BYTES = 4
_JSONB = b"\1"
"""What a jsonb's binary form begins with: its version."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database said of a user when it let them in; true for this transaction."""

    role: TenantRole
    tenant_status: str
    features: dict[str, Any]


class Standings:
    """What the database said last of the users whom this process has met; whoever was met longest ago is
    forgotten first. Nobody is let in by it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[UUID, UUID], Standing] = OrderedDict()

    def note(self, context: UserContext, standing: Standing) -> None:
        key = (context.tenant_id, context.user_id)
        self._known[key] = standing
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def find(self, context: UserContext) -> Standing | None:
        return self._known.get((context.tenant_id, context.user_id))


def standing_of(entered: Any) -> Standing:
    """What `tenancy.enter` answered.

    Raises:
        EntryRefused: the caller's membership, session or tenant has ended.
        MemberUnknown: the projection does not know the member (yet).
    """
    verdict, role, tenant_status, features = entered
    if verdict == "unknown" and tenant_status != "deleted":  # whose members are erased
        raise MemberUnknown
    if verdict != "ok":
        note_denial("refused")
        raise EntryRefused
    return Standing(role=role, tenant_status=tenant_status, features=features)


@lru_cache(maxsize=_ROWS)
def read_standing(row: bytes) -> Standing | None:
    """The same of the row in PostgreSQL's binary form; None when the user was not let in. Most are alike."""
    (record,) = _columns(row, ">h", 0)
    verdict, role, tenant_status, features = _columns(record or b"", ">i", _TYPE_BYTES)
    if verdict != b"ok" or role is None or tenant_status is None or features is None:
        return None
    known: Any = role.decode()
    return Standing(known, tenant_status.decode(), json.loads(features.removeprefix(_JSONB)))


def _columns(row: bytes, count: str, skipped: int) -> list[bytes | None]:
    """The values of a row, or of a composite value, which has its columns' types before them."""
    at = struct.calcsize(count)
    found: list[bytes | None] = []
    for _ in range(struct.unpack_from(count, row)[0]):
        (length,) = struct.unpack_from(">i", row, at + skipped)
        at += skipped + 4
        found.append(None if length == _NULL else row[at : at + length])
        at += max(length, 0)
    return found
