"""What can be done with a contact."""

from typing import Any

from campaigns.contact import queries
from campaigns.contact.errors import ContactExists
from campaigns.contact.rules import assert_status_free
from campaigns.contact.schemas import ContactCreate, ContactUpdate
from campaigns.models import ContactRow
from common.bus import outbox
from common.contracts.campaigns import ContactCreated, ContactDeleted, ContactUpdated
from common.db.lookup import change_fields, flush_or_refuse
from common.db.session import TenantSession
from common.ids import new_id

_REFUSALS = {"contacts_email_key": ContactExists}


async def create_contact(session: TenantSession, body: ContactCreate) -> ContactRow:
    """Add a contact.

    Raises:
        ContactExists: the workspace has one with this e-mail address.
    """
    row = ContactRow(contact_id=new_id(), **dict(body))
    session.add(row)
    await flush_or_refuse(session, _REFUSALS)
    await _tell_created(session, row)
    return row


async def upsert_contact(session: TenantSession, body: ContactCreate) -> tuple[ContactRow, bool]:
    """Add a contact, or change the one with this e-mail address; True when it was added.

    An existing contact keeps what the body leaves out.
    """
    contact_id = new_id()
    values = {"contact_id": contact_id, **dict(body)}
    row = await queries.insert_or_lock_contact(session, values)
    if row.contact_id == contact_id:
        await _tell_created(session, row)
        return row, True
    given = body.model_dump(exclude_unset=True, exclude={"workspace_id", "email"})
    return await _change(session, row, given), False


async def update_contact(session: TenantSession, row: ContactRow, body: ContactUpdate) -> ContactRow:
    """Change what the body names; values that are there already change nothing.

    Raises:
        ContactExists: the workspace has another contact with the new e-mail address.
        ContactUndeliverable: a new status for a contact that bounced or complained.
    """
    if body.status is not None:
        assert_status_free(row.status)
    return await _change(session, row, body.model_dump(exclude_unset=True))


async def delete_contact(session: TenantSession, row: ContactRow) -> None:
    """Forget a contact."""
    await session.delete(row)
    await session.flush()
    await outbox.emit(
        session,
        ContactDeleted(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            contact_id=row.contact_id,
            version=row.version + 1,
        ),
    )


async def _change(session: TenantSession, row: ContactRow, given: dict[str, Any]) -> ContactRow:
    changed = change_fields(row, given)
    if not changed:
        return row
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        ContactUpdated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            contact_id=row.contact_id,
            version=row.version,
            fields=changed,
        ),
    )
    return row


async def _tell_created(session: TenantSession, row: ContactRow) -> None:
    await outbox.emit(
        session,
        ContactCreated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            contact_id=row.contact_id,
            version=row.version,
        ),
    )
