"""Routes `/api/v1/lists`."""

from fastapi import Response

from campaigns.access import readable_workspaces
from campaigns.contact.schemas import Contact
from campaigns.contact_list import queries, service
from campaigns.contact_list.schemas import (
    ContactList,
    ContactListAdd,
    ContactListAdded,
    ContactListCreate,
    ContactListUpdate,
)
from campaigns.models import ListContactRow, ListRow
from common.context import WorkspaceRole
from common.db.paging import page
from common.ids import ContactId, Kind, ListId, WorkspaceId, to_text
from common.schema import Page
from common.web.deps import Cursor, Limit, Session, Shared
from common.web.etags import IfMatch, check_version, set_etag
from common.web.routes import tenant_router
from common.web.workspace_access import require_workspace

router = tenant_router("/lists", "lists")


@router.post("", status_code=201, operation_id="createList")
async def create_list(body: ContactListCreate, session: Session, response: Response) -> ContactList:
    """Make an empty list."""
    await require_workspace(session, body.workspace_id, "admin", "member")
    row = await service.create_list(session, body)
    response.headers["Location"] = f"/api/v1/lists/{to_text(Kind.LIST, row.list_id)}"
    return _answer(row, response)


@router.get("", operation_id="listLists")
async def list_lists(
    session: Session,
    shared: Shared,
    workspace_id: WorkspaceId | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[ContactList]:
    """The lists of one workspace, or of all that the caller may see, newest first."""
    workspaces = await readable_workspaces(session, workspace_id)
    rows, next_cursor = await page(
        session,
        shared.cursors,
        queries.select_lists(workspaces),
        ListRow.list_id,
        limit=limit,
        cursor=cursor,
    )
    return Page(data=[ContactList.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{list_id}", operation_id="getList")
async def get_list(list_id: ListId, session: Session, response: Response) -> ContactList:
    """One list."""
    await _require(session, list_id)
    return _answer(await queries.get_list(session, list_id), response)


@router.patch("/{list_id}", operation_id="updateList")
async def update_list(
    list_id: ListId, body: ContactListUpdate, session: Session, response: Response, if_match: IfMatch = None
) -> ContactList:
    """Rename a list."""
    await _require(session, list_id, "admin", "member")
    row = await queries.lock_list(session, list_id)
    check_version(if_match, row.version)
    return _answer(await service.update_list(session, row, body), response)


@router.delete("/{list_id}", status_code=204, operation_id="deleteList")
async def delete_list(list_id: ListId, session: Session, if_match: IfMatch = None) -> None:
    """Delete a list; its contacts stay."""
    await _require(session, list_id, "admin", "member")
    row = await queries.lock_list(session, list_id)
    check_version(if_match, row.version)
    await service.delete_list(session, row)


@router.post("/{list_id}/contacts", operation_id="addListContacts")
async def add_list_contacts(list_id: ListId, body: ContactListAdd, session: Session) -> ContactListAdded:
    """Put contacts into a list: all or, when one is unknown, none. Those in it already stay."""
    await _require(session, list_id, "admin", "member")
    row = await queries.lock_list(session, list_id)
    return ContactListAdded(list_id=list_id, added=await service.add_contacts(session, row, body.contact_ids))


@router.get("/{list_id}/contacts", operation_id="listListContacts")
async def list_list_contacts(
    list_id: ListId, session: Session, shared: Shared, limit: Limit = 20, cursor: Cursor = None
) -> Page[Contact]:
    """The contacts in a list, newest contact first."""
    await _require(session, list_id)
    rows, next_cursor = await page(
        session,
        shared.cursors,
        queries.select_contacts_of(list_id),
        ListContactRow.contact_id,
        limit=limit,
        cursor=cursor,
    )
    return Page(data=[Contact.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.delete("/{list_id}/contacts/{contact_id}", status_code=204, operation_id="removeListContact")
async def remove_list_contact(list_id: ListId, contact_id: ContactId, session: Session) -> None:
    """Take a contact out of a list."""
    await _require(session, list_id, "admin", "member")
    row = await queries.lock_list(session, list_id)
    await service.remove_contact(session, row, contact_id)


async def _require(session: Session, list_id: ListId, *roles: WorkspaceRole) -> None:
    """Judge the caller by the list's workspace; whoever may not see it learns nothing of it."""
    workspace_id = await queries.get_workspace_of(session, list_id)
    await require_workspace(session, workspace_id, *roles, hidden=queries.missing_list(list_id))


def _answer(row: ListRow, response: Response) -> ContactList:
    set_etag(response, row.version)
    return ContactList.model_validate(row)
