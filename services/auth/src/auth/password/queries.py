"""Reads for setting passwords."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert

from auth.models import AddressSaltRow, PasswordTokenRow
from auth.password.hashing import Cost, Parameters
from common import clock
from common.db.session import TenantSession

_COMPANY = text("SELECT name FROM tenancy.tenants WHERE tenant_id = :tenant")


async def find_token(
    session: TenantSession, token_id: UUID, *, lock: bool = False
) -> PasswordTokenRow | None:
    statement = select(PasswordTokenRow).where(PasswordTokenRow.token_id == token_id)
    return await session.scalar(statement.with_for_update() if lock else statement)


async def void_tokens(session: TenantSession, user_id: UUID) -> None:
    """Use up every password link of the user."""
    await session.execute(
        update(PasswordTokenRow)
        .where(PasswordTokenRow.user_id == user_id, PasswordTokenRow.used_at.is_(None))
        .values(used_at=clock.now())
    )


async def get_company_name(session: TenantSession) -> str:
    return str(await session.scalar(_COMPANY, {"tenant": session.tenant_id}) or "")


async def get_parameters(session: TenantSession, address_key: bytes, otherwise: Parameters) -> Parameters:
    """The address's salt and cost, `otherwise` stored for it; in a context of the platform's tenant."""
    values = {
        "tenant_id": session.tenant_id,
        "address_key": address_key,
        "salt": otherwise.salt,
        **asdict(otherwise.cost),
    }
    await session.execute(insert(AddressSaltRow).values(values).on_conflict_do_nothing())
    return await find_parameters(session, address_key) or otherwise


async def find_parameters(session: TenantSession, address_key: bytes) -> Parameters | None:
    """The address's salt and cost, or None; in a context of the platform's tenant."""
    row = await session.scalar(select(AddressSaltRow).where(AddressSaltRow.address_key == address_key))
    return None if row is None else Parameters(row.salt, _cost_of(row))


async def list_costs(session: TenantSession) -> Sequence[Cost]:
    """Those of all addresses; in a context of the platform's tenant."""
    columns = AddressSaltRow.time_cost, AddressSaltRow.memory_kib, AddressSaltRow.parallelism
    rows = await session.execute(
        select(*columns).where(AddressSaltRow.tenant_id == session.tenant_id).distinct()
    )
    return [Cost(*row) for row in rows]


async def note_cost(session: TenantSession, address_key: bytes, cost: Cost) -> None:
    """No password of the address has another cost any more; in a context of the platform's tenant."""
    statement = update(AddressSaltRow).where(AddressSaltRow.address_key == address_key)
    await session.execute(statement.values(**asdict(cost)))


def _cost_of(row: AddressSaltRow) -> Cost:
    return Cost(row.time_cost, row.memory_kib, row.parallelism)
