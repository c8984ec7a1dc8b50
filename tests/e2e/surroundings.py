"""What the platform leaves in the systems around it: mails and Stripe customers."""

import email
import urllib.parse
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import httpx


def caught_mails(folder: Path) -> list[EmailMessage]:
    """All mails there are."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent.name in ("new", "cur")]
    parsed = [email.message_from_bytes(path.read_bytes(), policy=default) for path in paths]
    return [mail for mail in parsed if isinstance(mail, EmailMessage)]


def mails_to(folder: Path, address: str) -> list[EmailMessage]:
    """All caught mails to `address`."""
    return [mail for mail in caught_mails(folder) if address in str(mail["To"])]


async def customers_of(environment: dict[str, Any], address: str) -> list[dict[str, Any]]:
    """Stripe's customers with that address, asked for over its API."""
    found = await _listed(environment, f"customers?email={urllib.parse.quote(address)}")
    return [customer for customer in found if customer["email"] == address]


async def subscriptions_of(environment: dict[str, Any], customer_id: str) -> list[dict[str, Any]]:
    """The customer's subscriptions at Stripe, whatever their status."""
    return await _listed(environment, f"subscriptions?customer={customer_id}&status=all")


async def _listed(environment: dict[str, Any], what: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(auth=("sk_test_local", "")) as http:
        found: list[dict[str, Any]] = (await http.get(f"{environment['stripe']}/v1/{what}&limit=100")).json()[
            "data"
        ]
    return found
