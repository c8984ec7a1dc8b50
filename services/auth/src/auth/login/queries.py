"""The one look-up across tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

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


async def list_accounts(session: TenantSession, email: str, candidate_hash: str) -> Sequence[Account]:
    """All accounts of the address; in a context of the platform's tenant."""
    rows = await session.execute(_ACCOUNTS, {"address": email, "candidate_hash": candidate_hash})
    return [Account(*row) for row in rows]
