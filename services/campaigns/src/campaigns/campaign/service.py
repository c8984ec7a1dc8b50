"""What can be done with a campaign."""

from collections.abc import Mapping
from uuid import UUID

from asyncpg import Record

from campaigns.campaign.queries import INSERT, is_tenant_active, lock_running_campaigns
from campaigns.campaign.rules import assert_draft
from campaigns.campaign.schemas import CampaignCreate, CampaignUpdate
from campaigns.contact_list.queries import hold_list
from campaigns.models import CampaignRow
from campaigns.template.queries import hold_template
from common.bus import outbox
from common.contracts.campaigns import CampaignCreated, CampaignDeleted, CampaignPaused, CampaignUpdated
from common.contracts.envelope import Event
from common.contracts.tenants import TenantDeletionScheduled, TenantSuspended
from common.db.lookup import change_fields
from common.db.session import AnySession, TenantSession
from common.ids import new_id

FIRST_VERSION = 1


async def create_campaign(session: AnySession, body: CampaignCreate) -> Record:
    """Begin a campaign as a draft.

    Raises:
        ResourceNotFound: its template or list is not in its workspace.
    """
    await _hold_contents(session, body.workspace_id, body.template_id, body.list_id)
    created = CampaignCreated(
        tenant_id=session.tenant_id,
        workspace_id=body.workspace_id,
        campaign_id=new_id(),
        version=FIRST_VERSION,
        name=body.name,
    )
    values = {"campaign_id": created.campaign_id, **dict(body), "version": FIRST_VERSION}
    (record,) = await session.fetch(INSERT, **values, **outbox.columns_of(session, created))
    session.note_events()
    return record


async def update_campaign(session: TenantSession, row: CampaignRow, body: CampaignUpdate) -> CampaignRow:
    """Change what the body names; values that are there already change nothing.

    Raises:
        CampaignNotDraft: the campaign has left its draft.
        ResourceNotFound: the new template or list is not in the campaign's workspace.
    """
    assert_draft(row.status)
    await _hold_contents(session, row.workspace_id, body.template_id, body.list_id)
    given = {name: value for name, value in body if name in body.model_fields_set}
    changed = change_fields(row, given)
    if not changed:
        return row
    await session.flush()
    await outbox.emit(
        session,
        CampaignUpdated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            campaign_id=row.campaign_id,
            version=row.version,
            fields=changed,
        ),
    )
    return row


async def delete_campaign(session: TenantSession, row: CampaignRow) -> None:
    """Delete a draft.

    Raises:
        CampaignNotDraft: the campaign has left its draft.
    """
    assert_draft(row.status)
    await session.delete(row)
    await session.flush()
    await outbox.emit(
        session,
        CampaignDeleted(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            campaign_id=row.campaign_id,
            version=row.version + 1,
        ),
    )


_WHY_PAUSED: Mapping[type[Event], str] = {
    TenantSuspended: "tenant_suspended",
    TenantDeletionScheduled: "tenant_deletion_scheduled",
}


async def pause_for_tenant(session: TenantSession, event: TenantSuspended | TenantDeletionScheduled) -> None:
    """Stop what sends or would: the tenant may not, and has to say itself what goes on afterwards. An old
    event that comes anew, when the tenant may again, stops nothing."""
    if await is_tenant_active(session):
        return
    for row in await lock_running_campaigns(session):
        row.status = "paused"
        await session.flush()
        await outbox.emit(
            session,
            CampaignPaused(
                tenant_id=session.tenant_id,
                workspace_id=row.workspace_id,
                campaign_id=row.campaign_id,
                version=row.version,
                reason=_WHY_PAUSED[type(event)],
            ),
        )


async def _hold_contents(
    session: AnySession, workspace_id: UUID, template_id: UUID | None, list_id: UUID | None
) -> None:
    if template_id is not None:
        await hold_template(session, workspace_id, template_id)
    if list_id is not None:
        await hold_list(session, workspace_id, list_id)
