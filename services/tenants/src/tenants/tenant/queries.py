"""Reads of the tenant."""

from datetime import date

from sqlalchemy import and_, select, text
from sqlalchemy.dialects.postgresql import insert

from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from tenants.models import CompanyRow, MonthlySendsRow

_IN_USE = text("""
SELECT
    (SELECT count(*) FROM tenancy.workspaces WHERE tenant_id = :tenant AND status = 'active') AS workspaces,
    (SELECT count(*) FROM tenancy.members
     WHERE tenant_id = :tenant AND status = 'active' AND kind = 'user') AS users,
    (SELECT reserved FROM tenants.monthly_sends WHERE tenant_id = :tenant AND month = :month) AS email_sends
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


async def count_in_use(session: TenantSession, month: date) -> tuple[int, int, int]:
    """Active workspaces, active users and the month's e-mails, as projected here."""
    row = (await session.execute(_IN_USE, {"tenant": session.tenant_id, "month": month})).one()
    return row.workspaces, row.users, row.email_sends or 0


async def put_monthly_sends(session: TenantSession, month: date, reserved: int, version: int) -> None:
    """Keep the newest sum of a month."""
    values = {"tenant_id": session.tenant_id, "month": month, "reserved": reserved, "version": version}
    newer = insert(MonthlySendsRow).values(values)
    await session.execute(
        newer.on_conflict_do_update(
            index_elements=["tenant_id", "month"],
            set_={"reserved": newer.excluded.reserved, "version": newer.excluded.version},
            where=and_(
                MonthlySendsRow.tenant_id == session.tenant_id,
                MonthlySendsRow.version < newer.excluded.version,
            ),
        )
    )


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
