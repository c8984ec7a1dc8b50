"""Reads of campaigns."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import bindparam, insert, select, text

from campaigns.campaign.rules import RUNNING
from campaigns.campaign.schemas import Campaign, CampaignCreate
from campaigns.models import CampaignRow
from common.db.lookup import get_one
from common.db.paging import Listing
from common.db.session import AnySession, TenantSession
from common.db.statements import TENANT, columns_of, compile_once, with_events
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from common.web.workspace_access import is_assigned

_GIVEN = ("campaign_id", *CampaignCreate.model_fields, "version")


_SHOWN = columns_of(CampaignRow, Campaign)
LISTING = Listing(
    CampaignRow.campaign_id,
    _SHOWN,
    {
        "workspace_id": CampaignRow.workspace_id == bindparam("workspace_id"),
        "member_id": is_assigned(CampaignRow.workspace_id),
        "status": CampaignRow.status == bindparam("status"),
    },
)
_ONE = compile_once(
    select(*_SHOWN, CampaignRow.version).where(CampaignRow.campaign_id == bindparam("campaign_id"))
)
_new: Any = insert(CampaignRow).values({"tenant_id": TENANT, **{name: bindparam(name) for name in _GIVEN}})
_ACTIVE = text("SELECT 1 FROM tenancy.tenants WHERE tenant_id = :tenant AND status = 'active'")
INSERT = with_events(compile_once(_new.returning(*_SHOWN)))
"""A new campaign and its events."""


async def get_workspace_of(session: TenantSession, campaign_id: UUID) -> UUID:
    """The workspace that a campaign is in; asked before anything else, to judge the caller's access.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(CampaignRow.workspace_id).where(CampaignRow.campaign_id == campaign_id)
    return await get_one(session, statement, missing_campaign(campaign_id))


async def get_campaign(session: AnySession, campaign_id: UUID) -> Record:
    """What an answer shows of the campaign, and its `version`.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    found = await session.fetch(_ONE, campaign_id=campaign_id)
    if not found:
        raise missing_campaign(campaign_id)
    return found[0]


async def lock_campaign(session: TenantSession, campaign_id: UUID) -> CampaignRow:
    """The campaign, locked until the transaction ends.

    Raises:
        ResourceNotFound: not in this tenant.
    """
    statement = select(CampaignRow).where(CampaignRow.campaign_id == campaign_id).with_for_update()
    return await get_one(session, statement, missing_campaign(campaign_id))


async def is_tenant_active(session: TenantSession) -> bool:
    """Whether it is neither suspended nor on its way out, as far as this service has heard."""
    return await session.scalar(_ACTIVE, {"tenant": session.tenant_id}) is not None


async def lock_running_campaigns(session: TenantSession) -> Sequence[CampaignRow]:
    """All campaigns of the tenant that send or will, locked until the transaction ends."""
    statement = select(CampaignRow).where(CampaignRow.status.in_(RUNNING)).order_by(CampaignRow.campaign_id)
    return (await session.scalars(statement.with_for_update())).all()


def missing_campaign(campaign_id: UUID) -> ResourceNotFound:
    return ResourceNotFound("campaign", campaign_id, to_text(Kind.CAMPAIGN, campaign_id))
