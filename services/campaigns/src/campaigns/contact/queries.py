"""Reads of contacts, and the one write that must find out whether a contact is there."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert

from campaigns.models import ContactRow
from common.db.lookup import get_one
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text


async def get_workspace_of(session: TenantSession, contact_id: UUID) -> UUID:
    """The workspace that a contact is in; asked before anything else, to judge the caller's access.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(ContactRow.workspace_id).where(ContactRow.contact_id == contact_id)
    return await get_one(session, statement, missing_contact(contact_id))


async def get_contact(session: TenantSession, contact_id: UUID) -> ContactRow:
    """The contact.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(ContactRow).where(ContactRow.contact_id == contact_id)
    return await get_one(session, statement, missing_contact(contact_id))


async def lock_contact(session: TenantSession, contact_id: UUID) -> ContactRow:
    """The contact, locked until the transaction ends.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(ContactRow).where(ContactRow.contact_id == contact_id).with_for_update()
    return await get_one(session, statement, missing_contact(contact_id))


async def hold_contacts(
    session: TenantSession, workspace_id: UUID, contact_ids: Collection[UUID]
) -> set[UUID]:
    """Those of the contacts that are in the workspace, none of them deletable until the transaction ends."""
    statement = (
        select(ContactRow.contact_id)
        .where(ContactRow.workspace_id == workspace_id, ContactRow.contact_id.in_(contact_ids))
        .order_by(ContactRow.contact_id)
        .with_for_update(read=True, key_share=True)
    )
    return set(await session.scalars(statement))


async def insert_or_lock_contact(session: TenantSession, values: dict[str, Any]) -> ContactRow:
    """Insert a contact, or lock the one with the same e-mail, unchanged; the ids tell which.

    One statement, so that of two callers at once exactly one inserts.
    """
    statement = insert(ContactRow).values({"tenant_id": session.tenant_id, **values})
    statement = statement.on_conflict_do_update(
        constraint="contacts_email_key", set_={"email": statement.excluded.email}
    )
    return (await session.scalars(statement.returning(ContactRow))).one()


def select_contacts(workspaces: Collection[UUID] | None, status: str | None) -> Select[ContactRow]:
    """Contacts of some workspaces (None: of all), in one state (None: in any)."""
    statement = select(ContactRow)
    if workspaces is not None:
        statement = statement.where(ContactRow.workspace_id.in_(workspaces))
    if status is not None:
        statement = statement.where(ContactRow.status == status)
    return statement


def missing_contact(contact_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("contact", contact_id, to_text(Kind.CONTACT, contact_id))
