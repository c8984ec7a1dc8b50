"""What `tenancy.enter` says of a user."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

from common.context import TenantRole, UserContext
from common.db.engine import note_denial
from common.db.errors import EntryRefused, MemberUnknown

_REMEMBERED = 10_000
_TEXTS = 1024
_LET_IN = "ok|"
_ROW_HEAD = 6
"""Bytes before the one value of a row: how many there are, and its length."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database said of a user when it let them in; true for this transaction."""

    role: TenantRole
    tenant_status: str
    features: Mapping[str, Any]


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


def standing_of(entered: str | None) -> Standing:
    """What `tenancy.enter` answered.

    Raises:
        EntryRefused: the caller's membership, session or tenant has ended.
        MemberUnknown: the projection does not know the member (yet).
    """
    if entered == "unknown":
        raise MemberUnknown
    if entered is None or not entered.startswith(_LET_IN):
        note_denial("refused")
        raise EntryRefused
    return _read(entered)


def read_standing(row: bytes) -> Standing | None:
    """The same of the answer as a row in PostgreSQL's binary form; None when the user was not let in."""
    entered = row[_ROW_HEAD:].decode()
    return _read(entered) if entered.startswith(_LET_IN) else None


@lru_cache(maxsize=_TEXTS)
def _read(entered: str) -> Standing:
    """What `ok|<role>|<tenant's status>|<features>` says: for everybody of whom it is said the same."""
    _, role, tenant_status, features = entered.split("|", 3)
    return Standing(cast(TenantRole, role), tenant_status, MappingProxyType(json.loads(features)))
