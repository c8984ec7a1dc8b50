"""Cursors belong to one tenant and one list, and cannot be made by a client."""

import base64

import pytest

from common.db.paging import Cursors, position_elsewhere
from common.errors import InvalidCursor
from common.ids import new_id

CURSORS = Cursors("ab" * 32)


def test_a_cursor_returns_to_its_place() -> None:
    tenant, place = new_id(), new_id()
    assert CURSORS.decode(tenant, "campaigns", CURSORS.encode(tenant, "campaigns", place)) == place


def test_a_cursor_of_another_tenant_list_or_key_is_refused() -> None:
    tenant, place = new_id(), new_id()
    cursor = CURSORS.encode(tenant, "campaigns", place)
    for cursors, owner, listing in (
        (CURSORS, new_id(), "campaigns"),
        (CURSORS, tenant, "contacts"),
        (Cursors("cd" * 32), tenant, "campaigns"),
    ):
        with pytest.raises(InvalidCursor):
            cursors.decode(owner, listing, cursor)


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "AAAA", "\x00", base64.b64encode(bytes(28)).decode(), "=" * 9]
)
def test_garbage_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.decode(new_id(), "campaigns", cursor)


def test_positions_of_another_system_are_sealed_like_ours() -> None:
    tenant, other = new_id(), new_id()
    cursor = CURSORS.encode_text(tenant, "invoices", "in_1")
    assert position_elsewhere(CURSORS, tenant, "invoices", cursor) == "in_1"
    assert position_elsewhere(CURSORS, tenant, "invoices", None) is None
    for owner, listing, text in (
        (other, "invoices", cursor),
        (tenant, "payments", cursor),
        (tenant, "invoices", cursor[4:]),
        (tenant, "invoices", "in_1"),
        (tenant, "invoices", ""),
    ):
        with pytest.raises(InvalidCursor):
            position_elsewhere(CURSORS, owner, listing, text)
