"""Rules and field limits of contacts, without a database."""

import pytest
from pydantic import ValidationError

from campaigns.contact.errors import ContactUndeliverable
from campaigns.contact.rules import assert_status_free
from campaigns.contact.schemas import ContactCreate, ContactUpdate
from common.ids import Kind, new_id, to_text


def contact(**fields: object) -> ContactCreate:
    workspace = to_text(Kind.WORKSPACE, new_id())
    return ContactCreate.model_validate({"workspace_id": workspace, "email": "a@example.com", **fields})


@pytest.mark.parametrize("status", ["bounced", "complained"])
def test_undeliverable_contacts_keep_their_status(status: str) -> None:
    with pytest.raises(ContactUndeliverable):
        assert_status_free(status)


@pytest.mark.parametrize("status", ["subscribed", "unsubscribed"])
def test_other_contacts_may_change_it(status: str) -> None:
    assert_status_free(status)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("  ada@example.com ", "ada@example.com"),
        ("ada@B\u00dcCHER.example", "ada@b\u00fccher.example"),
        ("ada@xn--bcher-kva.example", "ada@b\u00fccher.example"),
        ("a\u0308@example.com", "\u00e4@example.com"),
    ],
)
def test_one_mailbox_has_one_spelling(given: str, stored: str) -> None:
    assert contact(email=given).email == stored


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@b",
        "Ada <ada@example.com>",
        "a@example.com\r\nBcc: b@example.com",
        "a\x00@example.com",
        "\ud800@example.com",
        f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 63}.example.com",
    ],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(ValidationError):
        contact(email=email)


@pytest.mark.parametrize(
    "attributes",
    [
        {str(n): n for n in range(65)},
        {"a": "x" * 32_768},
        {"a": "\x00"},
        {"\x00": 1},
        {"a": "\ud800"},
        {"a": float("inf")},
        {"a": [[[[[[[[["deep"]]]]]]]]]},
        None,
        [],
    ],
)
def test_attributes_that_cannot_be_kept_are_refused(attributes: object) -> None:
    with pytest.raises(ValidationError):
        contact(attributes=attributes)


def test_attributes_up_to_the_limits_are_taken() -> None:
    contact(attributes={str(n): {"deep": [n]} for n in range(64)})
    contact(attributes={"a": "\u00e4" * 16_000})


@pytest.mark.parametrize("tags", [["x"] * 51, ["x" * 65], [""], ["a\nb"], "vip", [1]])
def test_tags_beyond_the_limits_are_refused(tags: object) -> None:
    with pytest.raises(ValidationError):
        contact(tags=tags)


def test_tags_are_distinct_and_keep_their_order() -> None:
    assert contact(tags=["b", "a", "b"]).tags == ["b", "a"]


@pytest.mark.parametrize("field", ["email", "attributes", "tags", "status"])
def test_update_cannot_null_what_must_be_there(field: str) -> None:
    with pytest.raises(ValidationError):
        ContactUpdate.model_validate({field: None})


@pytest.mark.parametrize("status", ["bounced", "complained", "deleted"])
def test_update_cannot_choose_what_providers_report(status: str) -> None:
    with pytest.raises(ValidationError):
        ContactUpdate.model_validate({"status": status})
