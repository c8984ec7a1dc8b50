"""What can be done with a list."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm.attributes import flag_modified

from campaigns.contact.queries import hold_contacts, missing_contact
from campaigns.contact_list import queries
from campaigns.contact_list.errors import ListExists, ListInUse
from campaigns.contact_list.schemas import ContactListCreate, ContactListUpdate
from campaigns.models import ListRow
from common.bus import outbox
from common.contracts.campaigns import (
    ListContactRemoved,
    ListContactsAdded,
    ListCreated,
    ListDeleted,
    ListUpdated,
)
from common.db.lookup import change_fields, flush_or_refuse
from common.db.session import TenantSession
from common.ids import new_id

_REFUSALS = {"lists_name_key": ListExists, "campaigns_list_fkey": ListInUse}


async def create_list(session: TenantSession, body: ContactListCreate) -> ListRow:
    """Make an empty list.

    Raises:
        ListExists: the workspace has one with this name.
    """
    row = ListRow(list_id=new_id(), **dict(body))
    session.add(row)
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        ListCreated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            list_id=row.list_id,
            version=row.version,
            name=row.name,
        ),
    )
    return row


async def update_list(session: TenantSession, row: ListRow, body: ContactListUpdate) -> ListRow:
    """Change what the body names; values that are there already change nothing.

    Raises:
        ListExists: the workspace has another list with the new name.
    """
    given = body.model_dump(exclude_unset=True)
    changed = change_fields(row, given)
    if not changed:
        return row
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        ListUpdated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            list_id=row.list_id,
            version=row.version,
            fields=changed,
        ),
    )
    return row


async def delete_list(session: TenantSession, row: ListRow) -> None:
    """Delete a list; its contacts stay contacts of the workspace.

    Raises:
        ListInUse: a campaign uses it.
    """
    await session.delete(row)
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        ListDeleted(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            list_id=row.list_id,
            version=row.version + 1,
        ),
    )


async def add_contacts(session: TenantSession, row: ListRow, contact_ids: Sequence[UUID]) -> int:
    """Put contacts of the list's workspace into the locked list: all or none; how many are new in it.

    Raises:
        ResourceNotFound: one of them is not a contact of this workspace.
    """
    held = await hold_contacts(session, row.workspace_id, contact_ids)
    for contact_id in contact_ids:
        if contact_id not in held:
            raise missing_contact(contact_id)
    added = await queries.add_contacts(session, row, contact_ids)
    if added:
        await _count_change(session, row)
        await outbox.emit(
            session,
            ListContactsAdded(
                tenant_id=session.tenant_id,
                workspace_id=row.workspace_id,
                list_id=row.list_id,
                version=row.version,
                contact_ids=tuple(added),
            ),
        )
    return len(added)


async def remove_contact(session: TenantSession, row: ListRow, contact_id: UUID) -> None:
    """Take a contact out of the locked list.

    Raises:
        ResourceNotFound: it is not in the list.
    """
    if not await queries.remove_contact(session, row.list_id, contact_id):
        raise missing_contact(contact_id)
    await _count_change(session, row)
    await outbox.emit(
        session,
        ListContactRemoved(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            list_id=row.list_id,
            version=row.version,
            contact_id=contact_id,
        ),
    )


async def _count_change(session: TenantSession, row: ListRow) -> None:
    """Give the row its next version though none of its own columns changes."""
    flag_modified(row, "name")
    await session.flush()
