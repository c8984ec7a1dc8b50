"""Routes `/api/v1/templates`."""

from fastapi import Response

from campaigns.access import readable_workspaces
from campaigns.models import TemplateRow
from campaigns.template import queries, service
from campaigns.template.schemas import Template, TemplateCreate, TemplateSummary, TemplateUpdate
from common.context import WorkspaceRole
from common.db.paging import page
from common.ids import Kind, TemplateId, WorkspaceId, to_text
from common.schema import Page
from common.web.deps import Cursor, Limit, Session, Shared
from common.web.etags import IfMatch, check_version, set_etag
from common.web.routes import tenant_router
from common.web.workspace_access import require_workspace

router = tenant_router("/templates", "templates")


@router.post("", status_code=201, operation_id="createTemplate")
async def create_template(body: TemplateCreate, session: Session, response: Response) -> Template:
    """Add a template."""
    await require_workspace(session, body.workspace_id, "admin", "member")
    row = await service.create_template(session, body)
    response.headers["Location"] = f"/api/v1/templates/{to_text(Kind.TEMPLATE, row.template_id)}"
    return _answer(row, response)


@router.get("", operation_id="listTemplates")
async def list_templates(
    session: Session,
    shared: Shared,
    workspace_id: WorkspaceId | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[TemplateSummary]:
    """The templates of one workspace, or of all that the caller may see, newest first, without contents."""
    workspaces = await readable_workspaces(session, workspace_id)
    rows, next_cursor = await page(
        session,
        shared.cursors,
        queries.select_templates(workspaces),
        TemplateRow.template_id,
        limit=limit,
        cursor=cursor,
    )
    return Page(data=[TemplateSummary.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{template_id}", operation_id="getTemplate")
async def get_template(template_id: TemplateId, session: Session, response: Response) -> Template:
    """One template with its contents."""
    await _require(session, template_id)
    return _answer(await queries.get_template(session, template_id), response)


@router.patch("/{template_id}", operation_id="updateTemplate")
async def update_template(
    template_id: TemplateId,
    body: TemplateUpdate,
    session: Session,
    response: Response,
    if_match: IfMatch = None,
) -> Template:
    """Change a template."""
    await _require(session, template_id, "admin", "member")
    row = await queries.lock_template(session, template_id)
    check_version(if_match, row.version)
    return _answer(await service.update_template(session, row, body), response)


@router.delete("/{template_id}", status_code=204, operation_id="deleteTemplate")
async def delete_template(template_id: TemplateId, session: Session, if_match: IfMatch = None) -> None:
    """Delete a template."""
    await _require(session, template_id, "admin", "member")
    row = await queries.lock_template(session, template_id)
    check_version(if_match, row.version)
    await service.delete_template(session, row)


async def _require(session: Session, template_id: TemplateId, *roles: WorkspaceRole) -> None:
    """Judge the caller by the template's workspace; whoever may not see it learns nothing of it."""
    workspace_id = await queries.get_workspace_of(session, template_id)
    await require_workspace(session, workspace_id, *roles, hidden=queries.missing_template(template_id))


def _answer(row: TemplateRow, response: Response) -> Template:
    set_etag(response, row.version)
    return Template.model_validate(row)
