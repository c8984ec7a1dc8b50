"""Mails as text and HTML, from facts that may be hostile."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape
from uuid import UUID

from email_validator import validate_email

_LINKING = re.compile(r"(?<=\S)[.:/@](?=\S)")
"""What joins the parts of an address or URL; a word joiner (U+2060) behind it shows nothing."""
_POLICY = SMTP.clone(max_line_length=78)


@dataclass(frozen=True, slots=True)
class Letter:
    """What every mail has. `mail_id` makes the Message-ID, the same on every attempt."""

    mail_id: UUID
    written_at: datetime
    sender: str
    recipient: str
    recipient_name: str


def unlinked(text: str) -> str:
    """The text so that mail programs make no link of any part of it: anybody can sign up with any name, and
    have our mail carry it to anybody."""
    return _LINKING.sub("\\g<0>\u2060", text)


def welcome(letter: Letter, company: str, link: str) -> EmailMessage:
    """The mail that lets a new owner set a password."""
    company, name = unlinked(company), unlinked(letter.recipient_name)
    text = (
        f"Hello {name},\n\n"
        f"{company} is ready on PenguinMails. Set your password here:\n\n"
        f"{link}\n\n"
        "The link works once, for 7 days. If you did not sign up, ignore this mail: nobody can log in\n"
        "until a password is set.\n"
    )
    html = (
        '<!doctype html><html lang="en"><body>'
        f"<p>Hello {escape(name)},</p>"
        f"<p><strong>{escape(company)}</strong> is ready on PenguinMails.</p>"
        f'<p><a href="{escape(link)}">Set your password</a></p>'
        "<p>The link works once, for 7 days. If you did not sign up, ignore this mail: nobody can log in "
        "until a password is set.</p></body></html>"
    )
    return _compose(letter, "Welcome to PenguinMails: set your password", text, html)


def invitation(letter: Letter, company: str, by: str, link: str) -> EmailMessage:
    """The mail that lets somebody become a user of a tenant."""
    company, by = unlinked(company), unlinked(by)
    text = (
        f"Hello,\n\n{by} invites you to {company} on PenguinMails. Accept here:\n\n"
        f"{link}\n\n"
        "The link works once, for 7 days. If you do not know what this is about, ignore this mail.\n"
    )
    html = (
        '<!doctype html><html lang="en"><body><p>Hello,</p>'
        f"<p>{escape(by)} invites you to <strong>{escape(company)}</strong> on PenguinMails.</p>"
        f'<p><a href="{escape(link)}">Accept the invitation</a></p>'
        "<p>The link works once, for 7 days. If you do not know what this is about, ignore this mail.</p>"
        "</body></html>"
    )
    return _compose(letter, "You are invited to PenguinMails", text, html)


def sender_address(sender: str) -> str:
    """The bare address of `Name <address>`."""
    return parseaddr(sender)[1]


def recipient_address(address: str) -> str:
    """The address as SMTP wants it: an internationalised domain in ASCII form where that is possible."""
    checked = validate_email(address, check_deliverability=False, test_environment=True)
    return checked.ascii_email or checked.normalized


def _compose(letter: Letter, subject: str, text: str, html: str) -> EmailMessage:
    name, address = parseaddr(letter.sender)
    message = EmailMessage(_POLICY)
    message["From"] = _mailbox(name, address)
    message["To"] = _mailbox(letter.recipient_name, recipient_address(letter.recipient))
    message["Subject"] = subject
    message["Date"] = format_datetime(letter.written_at)
    message["Message-ID"] = f"<{letter.mail_id}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte=_encoding(text))
    message.add_alternative(html, subtype="html", cte="base64")
    return message


def _mailbox(name: str, address: str) -> Address:
    """A header value that quotes and encodes the name, whatever is in it."""
    printable = "".join(char for char in name if char.isprintable())
    local, _, domain = address.rpartition("@")
    return Address(display_name=printable, username=local, domain=domain)


def _encoding(text: str) -> str:
    """7bit keeps links unbroken even in the raw mail; other text needs an encoding."""
    return "7bit" if text.isascii() else "base64"
