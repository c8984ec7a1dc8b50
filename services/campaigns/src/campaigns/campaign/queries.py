"""Reads of campaigns."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Select, select

from campaigns.campaign.rules import RUNNING
from campaigns.models import CampaignRow
from common.db.lookup import get_one
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text


async def get_workspace_of(session: TenantSession, campaign_id: UUID) -> UUID:
    """The workspace that a campaign is in; asked before anything else, to judge the caller's access.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(CampaignRow.workspace_id).where(CampaignRow.campaign_id == campaign_id)
    return await get_one(session, statement, missing_campaign(campaign_id))


async def get_campaign(session: TenantSession, campaign_id: UUID) -> CampaignRow:
    """The campaign.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(CampaignRow).where(CampaignRow.campaign_id == campaign_id)
    return await get_one(session, statement, missing_campaign(campaign_id))


async def lock_campaign(session: TenantSession, campaign_id: UUID) -> CampaignRow:
    """The campaign, locked until the transaction ends.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(CampaignRow).where(CampaignRow.campaign_id == campaign_id).with_for_update()
    return await get_one(session, statement, missing_campaign(campaign_id))


async def lock_running_campaigns(session: TenantSession) -> Sequence[CampaignRow]:
    """All campaigns of the tenant that send or will, locked until the transaction ends."""
    statement = select(CampaignRow).where(CampaignRow.status.in_(RUNNING)).order_by(CampaignRow.campaign_id)
    return (await session.scalars(statement.with_for_update())).all()


def select_campaigns(workspaces: Collection[UUID] | None, status: str | None) -> Select[CampaignRow]:
    """Campaigns of some workspaces (None: of all), in one state (None: in any)."""
    statement = select(CampaignRow)
    if workspaces is not None:
        statement = statement.where(CampaignRow.workspace_id.in_(workspaces))
    if status is not None:
        statement = statement.where(CampaignRow.status == status)
    return statement


def missing_campaign(campaign_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("campaign", campaign_id, to_text(Kind.CAMPAIGN, campaign_id))
