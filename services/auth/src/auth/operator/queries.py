"""Reads of operators; in contexts of the platform's tenant."""

from uuid import UUID

from sqlalchemy import select

from auth.models import OperatorRow
from common.db.session import TenantSession


async def find_by_email(session: TenantSession, email: str, *, lock: bool = False) -> OperatorRow | None:
    statement = select(OperatorRow).where(OperatorRow.email == email)
    return await session.scalar(statement.with_for_update() if lock else statement)


async def find_operator(session: TenantSession, operator_id: UUID) -> OperatorRow | None:
    return await session.scalar(select(OperatorRow).where(OperatorRow.operator_id == operator_id))


async def lock_operator(session: TenantSession, operator_id: UUID) -> OperatorRow | None:
    """The operator, locked until the transaction ends and read afresh, or None."""
    statement = select(OperatorRow).where(OperatorRow.operator_id == operator_id).with_for_update()
    return await session.scalar(statement.execution_options(populate_existing=True))
