"""Routes `/api/v1/campaigns`."""

from fastapi import Response

from campaigns.access import readable_scope
from campaigns.campaign import queries, service
from campaigns.campaign.schemas import Campaign, CampaignCreate, CampaignStatus, CampaignUpdate
from campaigns.models import CampaignRow
from common.context import WorkspaceRole
from common.db.paging import read_page
from common.ids import CampaignId, Kind, WorkspaceId, to_text
from common.schema import Page
from common.web.deps import Cursor, HotSession, Limit, Session, Shared
from common.web.etags import IfMatch, check_version, set_etag
from common.web.hot import Writer, hot
from common.web.routes import tenant_router
from common.web.workspace_access import require_workspace

router = tenant_router("/campaigns", "campaigns")
_ANSWERS = Writer(Campaign)


@router.post("", status_code=201, operation_id="createCampaign", response_model=Campaign)
@hot
async def create_campaign(body: CampaignCreate, session: HotSession) -> Response:
    """Begin a campaign as a draft."""
    await require_workspace(session, body.workspace_id, "admin", "member")
    record = await service.create_campaign(session, body)
    response = _ANSWERS.one(record, 201)
    response.headers["Location"] = f"/api/v1/campaigns/{to_text(Kind.CAMPAIGN, record['campaign_id'])}"
    set_etag(response, service.FIRST_VERSION)
    return response


@router.get("", operation_id="listCampaigns", response_model=Page[Campaign])
@hot
async def list_campaigns(
    session: HotSession,
    shared: Shared,
    workspace_id: WorkspaceId | None = None,
    status: CampaignStatus | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """The campaigns of one workspace, or of all that the caller may see, newest first."""
    scope = await readable_scope(session, workspace_id)
    records, next_cursor = await read_page(
        session, shared.cursors, queries.LISTING, limit=limit, cursor=cursor, status=status, **scope
    )
    return _ANSWERS.page(records, next_cursor)


@router.get("/{campaign_id}", operation_id="getCampaign", response_model=Campaign)
@hot
async def get_campaign(campaign_id: CampaignId, session: HotSession) -> Response:
    """One campaign."""
    shown = dict(await queries.get_campaign(session, campaign_id))
    await require_workspace(session, shown["workspace_id"], hidden=queries.missing_campaign(campaign_id))
    version = shown.pop("version")
    response = _ANSWERS.one(shown)
    set_etag(response, version)
    return response


@router.patch("/{campaign_id}", operation_id="updateCampaign")
async def update_campaign(
    campaign_id: CampaignId,
    body: CampaignUpdate,
    session: Session,
    response: Response,
    if_match: IfMatch = None,
) -> Campaign:
    """Change a campaign."""
    await _require(session, campaign_id, "admin", "member")
    row = await queries.lock_campaign(session, campaign_id)
    check_version(if_match, row.version)
    return _answer(await service.update_campaign(session, row, body), response)


@router.delete("/{campaign_id}", status_code=204, operation_id="deleteCampaign")
async def delete_campaign(campaign_id: CampaignId, session: Session, if_match: IfMatch = None) -> None:
    """Delete a draft."""
    await _require(session, campaign_id, "admin", "member")
    row = await queries.lock_campaign(session, campaign_id)
    check_version(if_match, row.version)
    await service.delete_campaign(session, row)


async def _require(session: Session, campaign_id: CampaignId, *roles: WorkspaceRole) -> None:
    """Judge the caller by the campaign's workspace; whoever may not see it learns nothing of it."""
    workspace_id = await queries.get_workspace_of(session, campaign_id)
    await require_workspace(session, workspace_id, *roles, hidden=queries.missing_campaign(campaign_id))


def _answer(row: CampaignRow, response: Response) -> Campaign:
    set_etag(response, row.version)
    return Campaign.model_validate(row)
