"""Reads of lists, and the writes that find out who is in one."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from campaigns.models import ContactRow, ListContactRow, ListRow
from common.db.lookup import get_one
from common.db.session import AnySession, TenantSession
from common.db.statements import compile_once
from common.errors import ResourceNotFound
from common.ids import Kind, to_text


async def get_workspace_of(session: TenantSession, list_id: UUID) -> UUID:
    """The workspace that a list is in; asked before anything else, to judge the caller's access.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(ListRow.workspace_id).where(ListRow.list_id == list_id)
    return await get_one(session, statement, missing_list(list_id))


async def get_list(session: TenantSession, list_id: UUID) -> ListRow:
    """The list.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(ListRow).where(ListRow.list_id == list_id)
    return await get_one(session, statement, missing_list(list_id))


async def lock_list(session: TenantSession, list_id: UUID) -> ListRow:
    """The list, locked until the transaction ends.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(ListRow).where(ListRow.list_id == list_id).with_for_update()
    return await get_one(session, statement, missing_list(list_id))


_HOLD = compile_once(
    select(ListRow.list_id)
    .where(ListRow.workspace_id == bindparam("workspace_id"), ListRow.list_id == bindparam("list_id"))
    .with_for_update(read=True, key_share=True)
)


async def hold_list(session: AnySession, workspace_id: UUID, list_id: UUID) -> None:
    """Keep the list of this workspace from being deleted until the transaction ends.

    Raises:
        ResourceNotFound: not in this workspace.
    """
    if not await session.fetch(_HOLD, workspace_id=workspace_id, list_id=list_id):
        raise missing_list(list_id)


async def add_contacts(session: TenantSession, row: ListRow, contact_ids: Collection[UUID]) -> Sequence[UUID]:
    """Put contacts into the list; those that were not there before, in the order of their ids."""
    statement = insert(ListContactRow).on_conflict_do_nothing().returning(ListContactRow.contact_id)
    values = [
        {
            "tenant_id": row.tenant_id,
            "list_id": row.list_id,
            "contact_id": contact_id,
            "workspace_id": row.workspace_id,
        }
        for contact_id in contact_ids
    ]
    return sorted((await session.scalars(statement, values)).all())


async def remove_contact(session: TenantSession, list_id: UUID, contact_id: UUID) -> bool:
    """Take a contact out of the list; False when it was not there."""
    statement = (
        delete(ListContactRow)
        .where(ListContactRow.list_id == list_id, ListContactRow.contact_id == contact_id)
        .returning(ListContactRow.contact_id)
    )
    return await session.scalar(statement) is not None


def select_lists(workspaces: Collection[UUID] | None) -> Select[ListRow]:
    """Lists of some workspaces (None: of all)."""
    statement = select(ListRow)
    if workspaces is not None:
        statement = statement.where(ListRow.workspace_id.in_(workspaces))
    return statement


def select_contacts_of(list_id: UUID) -> Select[ContactRow]:
    """The contacts in the list; `ListContactRow.contact_id` orders them."""
    return (
        select(ContactRow)
        .join(ListContactRow, ListContactRow.contact_id == ContactRow.contact_id)
        .where(ListContactRow.list_id == list_id)
    )


def missing_list(list_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("list", list_id, to_text(Kind.LIST, list_id))
