"""What can be done with a campaign."""

from campaigns.campaign.rules import assert_draft
from campaigns.campaign.schemas import CampaignCreate, CampaignUpdate
from campaigns.models import CampaignRow
from common.bus import outbox
from common.contracts.campaigns import CampaignCreated, CampaignDeleted, CampaignUpdated
from common.db.session import TenantSession
from common.ids import new_id


async def create_campaign(session: TenantSession, body: CampaignCreate) -> CampaignRow:
    """Begin a campaign as a draft."""
    row = CampaignRow(campaign_id=new_id(), **dict(body))
    session.add(row)
    await session.flush()
    await outbox.emit(
        session,
        CampaignCreated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            campaign_id=row.campaign_id,
            version=row.version,
            name=row.name,
        ),
    )
    return row


async def update_campaign(session: TenantSession, row: CampaignRow, body: CampaignUpdate) -> CampaignRow:
    """Change what the body names; values that are there already change nothing."""
    given = body.model_dump(exclude_unset=True)
    changes = {name: value for name, value in given.items() if getattr(row, name) != value}
    if not changes:
        return row
    for name, value in changes.items():
        setattr(row, name, value)
    await session.flush()
    await outbox.emit(
        session,
        CampaignUpdated(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            campaign_id=row.campaign_id,
            version=row.version,
            fields=tuple(sorted(changes)),
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
