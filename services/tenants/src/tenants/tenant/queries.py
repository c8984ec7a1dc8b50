"""Reads of the tenant."""

from sqlalchemy import select, text

from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from tenants.models import CompanyRow

_IN_USE = text("""
SELECT
    (SELECT count(*) FROM tenancy.workspaces WHERE tenant_id = :tenant AND status = 'active') AS workspaces,
    (SELECT count(*) FROM tenancy.members
     WHERE tenant_id = :tenant AND status = 'active' AND kind = 'user') AS users
""")


async def find_company(session: TenantSession) -> CompanyRow | None:
    """The session's tenant, or None while it is not stored."""
    return await session.scalar(select(CompanyRow))


async def get_company(session: TenantSession) -> CompanyRow:
    """The session's tenant.

    Raises:
        ResourceNotFound: it is not stored.
    """
    row = await find_company(session)
    if row is None:
        raise _missing(session)
    return row


async def count_in_use(session: TenantSession) -> tuple[int, int]:
    """Active workspaces and active users, as projected here."""
    row = (await session.execute(_IN_USE, {"tenant": session.tenant_id})).one()
    return row.workspaces, row.users


async def lock_company(session: TenantSession) -> CompanyRow:
    """The session's tenant, locked until the transaction ends and read afresh.

    Raises:
        ResourceNotFound: it is not stored.
    """
    statement = select(CompanyRow).with_for_update().execution_options(populate_existing=True)
    row = await session.scalar(statement)
    if row is None:
        raise _missing(session)
    return row


def _missing(session: TenantSession) -> ResourceNotFound:
    return ResourceNotFound("tenant", session.tenant_id, to_text(Kind.TENANT, session.tenant_id))
