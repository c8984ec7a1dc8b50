"""Routes `/api/v1/contacts`."""

from fastapi import Response

from campaigns.access import readable_workspaces
from campaigns.contact import queries, service
from campaigns.contact.schemas import Contact, ContactCreate, ContactStatus, ContactUpdate
from campaigns.models import ContactRow
from common.context import WorkspaceRole
from common.db.paging import page
from common.ids import ContactId, Kind, WorkspaceId, to_text
from common.schema import Page
from common.web.deps import Cursor, Limit, Session, Shared
from common.web.etags import IfMatch, check_version, set_etag
from common.web.routes import tenant_router
from common.web.workspace_access import require_workspace

router = tenant_router("/contacts", "contacts")


@router.post("", status_code=201, operation_id="createContact")
async def create_contact(body: ContactCreate, session: Session, response: Response) -> Contact:
    """Add a contact."""
    await require_workspace(session, body.workspace_id, "admin", "member")
    return _created(await service.create_contact(session, body), response)


@router.post(
    "/upsert",
    operation_id="upsertContact",
    responses={201: {"model": Contact, "description": "The contact was added"}},
)
async def upsert_contact(body: ContactCreate, session: Session, response: Response) -> Contact:
    """Add a contact (201), or change the one with this e-mail address (200)."""
    await require_workspace(session, body.workspace_id, "admin", "member")
    row, created = await service.upsert_contact(session, body)
    return _created(row, response) if created else _answer(row, response)


@router.get("", operation_id="listContacts")
async def list_contacts(
    session: Session,
    shared: Shared,
    workspace_id: WorkspaceId | None = None,
    status: ContactStatus | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Contact]:
    """The contacts of one workspace, or of all that the caller may see, newest first."""
    workspaces = await readable_workspaces(session, workspace_id)
    rows, next_cursor = await page(
        session,
        shared.cursors,
        queries.select_contacts(workspaces, status),
        ContactRow.contact_id,
        limit=limit,
        cursor=cursor,
    )
    return Page(data=[Contact.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{contact_id}", operation_id="getContact")
async def get_contact(contact_id: ContactId, session: Session, response: Response) -> Contact:
    """One contact."""
    await _require(session, contact_id)
    return _answer(await queries.get_contact(session, contact_id), response)


@router.patch("/{contact_id}", operation_id="updateContact")
async def update_contact(
    contact_id: ContactId, body: ContactUpdate, session: Session, response: Response, if_match: IfMatch = None
) -> Contact:
    """Change a contact."""
    await _require(session, contact_id, "admin", "member")
    row = await queries.lock_contact(session, contact_id)
    check_version(if_match, row.version)
    return _answer(await service.update_contact(session, row, body), response)


@router.delete("/{contact_id}", status_code=204, operation_id="deleteContact")
async def delete_contact(contact_id: ContactId, session: Session, if_match: IfMatch = None) -> None:
    """Forget a contact."""
    await _require(session, contact_id, "admin", "member")
    row = await queries.lock_contact(session, contact_id)
    check_version(if_match, row.version)
    await service.delete_contact(session, row)


async def _require(session: Session, contact_id: ContactId, *roles: WorkspaceRole) -> None:
    """Judge the caller by the contact's workspace; whoever may not see it learns nothing of it."""
    workspace_id = await queries.get_workspace_of(session, contact_id)
    await require_workspace(session, workspace_id, *roles, hidden=queries.missing_contact(contact_id))


def _created(row: ContactRow, response: Response) -> Contact:
    response.status_code = 201
    response.headers["Location"] = f"/api/v1/contacts/{to_text(Kind.CONTACT, row.contact_id)}"
    return _answer(row, response)


def _answer(row: ContactRow, response: Response) -> Contact:
    set_etag(response, row.version)
    return Contact.model_validate(row)
