"""Reads of domains."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Select, select

from campaigns.models import DkimKeyRow, DomainRow
from common.db.lookup import get_one
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text


async def get_workspace_of(session: TenantSession, domain_id: UUID) -> UUID:
    """The workspace that a domain is in; asked before anything else, to judge the caller's access.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(DomainRow.workspace_id).where(DomainRow.domain_id == domain_id)
    return await get_one(session, statement, missing_domain(domain_id))


async def get_domain(session: TenantSession, domain_id: UUID) -> tuple[DomainRow, DkimKeyRow]:
    """The domain and its key (without the private half).

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = (
        select(DomainRow, DkimKeyRow)
        .join(DkimKeyRow, DkimKeyRow.domain_id == DomainRow.domain_id)
        .where(DomainRow.domain_id == domain_id)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        raise missing_domain(domain_id)
    return found[0], found[1]


async def lock_domain(session: TenantSession, domain_id: UUID) -> DomainRow:
    """The domain, locked until the transaction ends.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(DomainRow).where(DomainRow.domain_id == domain_id).with_for_update()
    return await get_one(session, statement, missing_domain(domain_id))


def select_domains(workspaces: Collection[UUID] | None) -> Select[DomainRow]:
    """Domains of some workspaces (None: of all)."""
    statement = select(DomainRow)
    if workspaces is not None:
        statement = statement.where(DomainRow.workspace_id.in_(workspaces))
    return statement


def missing_domain(domain_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("domain", domain_id, to_text(Kind.DOMAIN, domain_id))
