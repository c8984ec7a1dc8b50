"""What the platform leaves in the systems around it: mails and Stripe customers."""

import email
import urllib.parse
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import httpx


def mails_to(folder: Path, address: str) -> list[EmailMessage]:
    """All caught mails to `address`."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent.name in ("new", "cur")]
    parsed = [email.message_from_bytes(path.read_bytes(), policy=default) for path in paths]
    return [mail for mail in parsed if isinstance(mail, EmailMessage) and address in str(mail["To"])]


async def customers_of(environment: dict[str, Any], address: str) -> list[dict[str, Any]]:
    """Stripe's customers with that address, asked for over its API."""
    url = f"{environment['stripe']}/v1/customers?email={urllib.parse.quote(address)}&limit=100"
    async with httpx.AsyncClient(auth=("sk_test_local", "")) as http:
        found: list[dict[str, Any]] = (await http.get(url)).json()["data"]
    return [customer for customer in found if customer["email"] == address]
