"""Reads of templates."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import defer

from campaigns.models import TemplateRow
from common.db.lookup import get_one
from common.db.session import AnySession, TenantSession
from common.db.statements import compile_once
from common.errors import ResourceNotFound
from common.ids import Kind, to_text


async def get_workspace_of(session: TenantSession, template_id: UUID) -> UUID:
    """The workspace that a template is in; asked before anything else, to judge the caller's access.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(TemplateRow.workspace_id).where(TemplateRow.template_id == template_id)
    return await get_one(session, statement, missing_template(template_id))


async def get_template(session: TenantSession, template_id: UUID) -> TemplateRow:
    """The template.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(TemplateRow).where(TemplateRow.template_id == template_id)
    return await get_one(session, statement, missing_template(template_id))


async def lock_template(session: TenantSession, template_id: UUID) -> TemplateRow:
    """The template, locked until the transaction ends.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(TemplateRow).where(TemplateRow.template_id == template_id).with_for_update()
    return await get_one(session, statement, missing_template(template_id))


_HOLD = compile_once(
    select(TemplateRow.template_id)
    .where(
        TemplateRow.workspace_id == bindparam("workspace_id"),
        TemplateRow.template_id == bindparam("template_id"),
    )
    .with_for_update(read=True, key_share=True)
)


async def hold_template(session: AnySession, workspace_id: UUID, template_id: UUID) -> None:
    """Keep the template of this workspace from being deleted until the transaction ends.

    Raises:
        ResourceNotFound: not in this workspace.
    """
    if not await session.fetch(_HOLD, workspace_id=workspace_id, template_id=template_id):
        raise missing_template(template_id)


def select_templates(workspaces: Collection[UUID] | None) -> Select[TemplateRow]:
    """Templates of some workspaces (None: of all), without their contents."""
    statement = select(TemplateRow).options(
        defer(TemplateRow.html, raiseload=True), defer(TemplateRow.text, raiseload=True)
    )
    if workspaces is not None:
        statement = statement.where(TemplateRow.workspace_id.in_(workspaces))
    return statement


def missing_template(template_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("template", template_id, to_text(Kind.TEMPLATE, template_id))
