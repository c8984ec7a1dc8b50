"""What can be done with a template."""

from campaigns.models import TemplateRow
from campaigns.template.errors import TemplateExists, TemplateInUse
from campaigns.template.schemas import TemplateCreate, TemplateUpdate
from common.bus import outbox
from common.contracts.campaigns import TemplateCreated, TemplateDeleted, TemplateUpdated
from common.db.lookup import change_fields, flush_or_refuse
from common.db.session import TenantSession
from common.ids import new_id

_REFUSALS = {"templates_name_key": TemplateExists, "campaigns_template_fkey": TemplateInUse}


async def create_template(session: TenantSession, body: TemplateCreate) -> TemplateRow:
    """Add a template.

    Raises:
        TemplateExists: the workspace has one with this name.
    """
    row = TemplateRow(template_id=new_id(), **dict(body))
    session.add(row)
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        TemplateCreated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            template_id=row.template_id,
            version=row.version,
            name=row.name,
        ),
    )
    return row


async def update_template(session: TenantSession, row: TemplateRow, body: TemplateUpdate) -> TemplateRow:
    """Change what the body names; values that are there already change nothing.

    Raises:
        TemplateExists: the workspace has another template with the new name.
    """
    given = body.model_dump(exclude_unset=True)
    changed = change_fields(row, given)
    if not changed:
        return row
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        TemplateUpdated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            template_id=row.template_id,
            version=row.version,
            fields=changed,
        ),
    )
    return row


async def delete_template(session: TenantSession, row: TemplateRow) -> None:
    """Delete a template.

    Raises:
        TemplateInUse: a campaign uses it.
    """
    await session.delete(row)
    await flush_or_refuse(session, _REFUSALS)
    await outbox.emit(
        session,
        TemplateDeleted(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            template_id=row.template_id,
            version=row.version + 1,
        ),
    )
