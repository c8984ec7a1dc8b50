"""The one look-up across tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, text, update

from auth.models import OperatorRow, UserRow
from common.db.session import TenantSession

_ACCOUNTS = text(
    "SELECT tenant_id, tenant_name, user_id, open, proven, matches "
    "FROM auth.accounts_of(:address, :candidate_hash)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """An account of an address: `open` to anybody at all; whether the password `matches`.

    `proven`: somebody who reads the address's mail has set its password. Anybody can sign up with anybody's
    address; such an account must not learn how its true owner logs in elsewhere.
    """

    tenant_id: UUID
    tenant_name: str
    user_id: UUID
    open: bool
    proven: bool
    matches: bool


async def list_accounts(session: TenantSession, email: str, candidates: Sequence[str]) -> Sequence[Account]:
    """All accounts of the address, and whether one of the candidates matches; in a context of the platform's
    tenant. The present hash comes first among them and is asked for last: one may just be replaced by it."""
    accounts: dict[UUID, Account] = {}
    for candidate in reversed(candidates):
        for row in await session.execute(_ACCOUNTS, {"address": email, "candidate_hash": candidate}):
            known = accounts.get(row.user_id)
            if known is None or row.matches:
                accounts[row.user_id] = Account(*row)
    return list(accounts.values())


async def count_holders(session: TenantSession, email: str) -> int:
    """How many have a password at the address or may soon have; in a context of the platform's tenant."""
    operators = select(func.count()).select_from(OperatorRow).where(OperatorRow.email == email)
    accounts = await list_accounts(session, email, [""])
    return len(accounts) + (await session.execute(operators)).scalar_one()


async def store_hash(session: TenantSession, user_id: UUID, password_hash: str) -> None:
    """Store the same password in another way, of which nobody has to be told."""
    await session.execute(
        update(UserRow).where(UserRow.user_id == user_id).values(password_hash=password_hash)
    )
