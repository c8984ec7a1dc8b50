"""What came of the sign-ups: everything of each owner, counted where it is."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from common.ids import Kind, to_text
from tests.e2e.client import Tenant, eventually
from tests.e2e.surroundings import caught_mails, customers_of, subscriptions_of

_TENANTS = "SELECT owner_email AS email, tenant_id FROM tenants.provisionings WHERE owner_email = ANY($1)"
_OWNERS = "SELECT email, user_id FROM auth.users WHERE email = ANY($1)"
_WORKSPACES = """
SELECT m.email, w.workspace_id FROM workspaces.workspaces AS w
JOIN tenancy.members AS m ON m.tenant_id = w.tenant_id AND m.role = 'owner' WHERE m.email = ANY($1)
"""
_UNFINISHED = """
SELECT count(*) FROM tenants.provisionings WHERE owner_email = ANY($1) AND finished_at IS NULL
"""

Books = dict[str, Sequence[str]]
"""By kind of thing, the ids of all there are."""


async def until_finished(environment: dict[str, Any], owners: Sequence[Tenant]) -> None:
    """Until every step of all sign-ups is done."""
    addresses = [owner.owner_email for owner in owners]
    async with _database(environment, "tenants") as connection:

        async def none_left() -> bool:
            return await connection.fetchval(_UNFINISHED, addresses) == 0

        await eventually(none_left, within=90, every=0.2)


async def find_breaches(environment: dict[str, Any], owners: Sequence[Tenant]) -> list[str]:
    """Owners of whom there is not exactly one of everything, and what there is."""
    addresses = [owner.owner_email for owner in owners]
    tenants = await _ids(environment, "tenants", _TENANTS, Kind.TENANT, addresses)
    users = await _ids(environment, "auth", _OWNERS, Kind.USER, addresses)
    workspaces = await _ids(environment, "workspaces", _WORKSPACES, Kind.WORKSPACE, addresses)
    mails = [(_recipient(mail), mail["Message-ID"]) for mail in _mails(environment)]
    breaches: list[str] = []
    for owner in owners:
        address = owner.owner_email
        customers = [customer["id"] for customer in await customers_of(environment, address)]
        subscriptions = [one["id"] for it in customers for one in await subscriptions_of(environment, it)]
        books: Books = {
            "tenant": [id for email, id in tenants if email == address],
            "owner": [id for email, id in users if email == address],
            "workspace": [id for email, id in workspaces if email == address],
            "customer": customers,
            "subscription": subscriptions,
            "message": sorted({message for to, message in mails if to == address}),
        }
        breaches += _judge(owner, books)
    return breaches


def _judge(owner: Tenant, books: Books) -> list[str]:
    told = {
        "tenant": owner.tenant_id,
        "owner": owner.owner_user_id,
        "workspace": owner.default_workspace_id,
    }
    return [
        f"{owner.owner_email}: {kind} {list(ids)}, told {told.get(kind, 'of one')}"
        for kind, ids in books.items()
        if len(ids) != 1 or told.get(kind, ids[0]) != ids[0]
    ]


def copies(environment: dict[str, Any], owners: Sequence[Tenant]) -> int:
    """Mails beyond the first of each Message-ID: a kill between the server's 250 and our commit."""
    own = {owner.owner_email for owner in owners}
    seen = Counter(mail["Message-ID"] for mail in _mails(environment) if _recipient(mail) in own)
    return seen.total() - len(seen)


def _mails(environment: dict[str, Any]) -> list[EmailMessage]:
    return caught_mails(Path(environment["mail_dir"]))


def _recipient(mail: EmailMessage) -> str:
    address: str = mail["To"].addresses[0].addr_spec
    return address


async def _ids(
    environment: dict[str, Any], service: str, query: str, kind: Kind, addresses: list[str]
) -> list[tuple[str, str]]:
    async with _database(environment, service) as connection:
        return [(row[0], to_text(kind, row[1])) for row in await connection.fetch(query, addresses)]


@asynccontextmanager
async def _database(environment: dict[str, Any], service: str) -> AsyncGenerator[asyncpg.Connection]:
    url = make_url(environment["postgres"]["superuser"]).set(database=service)
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        yield connection
    finally:
        await connection.close()
