"""Mails that stay one mail whatever names are in them."""

import email.policy
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from html.parser import HTMLParser
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.mail.rendering import Letter, invitation, recipient_address, unlinked, welcome

LINK = "http://127.0.0.1:8080/onboarding?token=" + "Ab-_" * 21 + "xy"
MAIL_ID = UUID("01932c07-209d-7a5c-8e66-6e3f0d9a5b11")
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]


def written(name: str, company: str = "Acme", recipient: str = "olga@acme.example") -> EmailMessage:
    letter = Letter(
        MAIL_ID,
        datetime(2026, 11, 21, tzinfo=UTC),
        "PenguinMails <no-reply@penguinmails.test>",
        recipient,
        name,
    )
    raw = welcome(letter, company, LINK).as_bytes()
    assert max(map(len, raw.split(b"\r\n"))) < 998
    parsed = message_from_bytes(raw, policy=email.policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    content: str = found.get_content()
    return content


HOSTILE = [
    'Olga" <victim@example.com>, "',
    "Olga\r\nBcc: victim@example.com",
    "Olga\nBcc: victim@example.com\n\nBody",
    "<script>alert(1)</script>",
    "=?utf-8?q?evil?=",
    "a, b; c:",
    "Zoë 🐧",
    "\u202egnp.exe",
    "x" * 255,
    "\\",
    "(comment)",
    "@",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_adds_no_header_and_no_recipient(name: str) -> None:
    message = written(name, company=name)
    assert list(message.keys()) == HEADERS
    (address,) = message["To"].addresses
    assert address.addr_spec == "olga@acme.example"
    assert message["Message-ID"] == f"<{MAIL_ID}@penguinmails.test>"
    assert LINK in part(message, "plain")


@given(st.text(max_size=255))
def test_no_name_at_all_breaks_a_mail(name: str) -> None:
    name = "".join(char for char in name if not 0xD800 <= ord(char) <= 0xDFFF)
    message = written(name, company=name)
    assert list(message.keys()) == HEADERS
    assert [address.addr_spec for address in message["To"].addresses] == ["olga@acme.example"]
    assert LINK in part(message, "plain")


def test_names_are_text_in_html() -> None:
    tags: list[str] = []
    links: list[str | None] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            links.extend(value for name, value in attrs if name == "href")

    Reader().feed(part(written("<img src=x>", "<b onclick=x>A</b>"), "html"))
    assert set(tags) <= {"html", "body", "p", "strong", "a"}
    assert links == [LINK]


def test_the_secret_is_unbroken_even_in_the_raw_text() -> None:
    letter = Letter(MAIL_ID, datetime.now(UTC), "a@b.example", "olga@acme.example", "Olga")
    raw = welcome(letter, "Acme", LINK).as_string()
    found = re.search(r"\?token=([A-Za-z0-9_.-]+)", raw)
    assert found is not None
    assert LINK.endswith(found[1])


def test_every_attempt_writes_the_same_message_id_and_date() -> None:
    letter = Letter(uuid4(), datetime.now(UTC), "a@b.example", "olga@acme.example", "Olga")
    first, second = welcome(letter, "Acme", LINK), welcome(letter, "Acme", LINK)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]


def test_internationalised_domains_travel_in_ascii() -> None:
    assert recipient_address("olga@münchen.example") == "olga@xn--mnchen-3ya.example"
    assert written("Olga", recipient="olga@münchen.example")["To"].addresses[0].domain.isascii()


@pytest.mark.parametrize(
    "bait", ["https://evil.example/pay", "www.evil.example", "evil.example", "mail me@evil.example", "a://b"]
)
def test_no_name_becomes_a_link(bait: str) -> None:
    letter = Letter(MAIL_ID, datetime(2026, 11, 21, tzinfo=UTC), "P <p@p.test>", "o@acme.example", bait)
    for raw in (welcome(letter, bait, LINK), invitation(letter, bait, bait, LINK)):
        for kind in ("plain", "html"):
            content = part(raw, kind)
            assert bait not in content
            assert bait in content.replace("\u2060", "")
            assert LINK in content


@pytest.mark.parametrize("name", ["Acme Ltd.", "Smith & Sons, Inc.", "C: the company", "\u65e5\u672c"])
def test_names_that_link_nowhere_stay_as_they_are(name: str) -> None:
    assert unlinked(name) == name
