"""Reading the Maildir of the mail catcher."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from rich.table import Table

from penguinmails.terminal import escape


def read_all(maildir: Path, recipient: str | None = None) -> list[Path]:
    """Newest first; those to one address, or all."""
    paths = sorted((path for path in maildir.glob("[nc]*/*")), key=lambda path: path.name, reverse=True)
    return [path for path in paths if recipient in (None, str(parse(path)["X-Envelope-To"]))]


def parse(path: Path) -> EmailMessage:
    return message_from_bytes(path.read_bytes(), policy=policy.default)


def table(mails: list[Path], most: int = 50) -> Table:
    shown = Table("#", "received", "to", "subject", box=None, pad_edge=False)
    for number, path in enumerate(mails[:most], start=1):
        message = parse(path)
        received = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%H:%M:%S")
        shown.add_row(
            str(number), received, escape(message["X-Envelope-To"]), escape(message["Subject"] or "")
        )
    return shown


def text(path: Path) -> str:
    message = parse(path)
    body = message.get_body(("plain", "html"))
    headers = "\n".join(f"{name}: {value}" for name, value in message.items())
    return f"{headers}\n\n{body.get_content() if body else ''}"
