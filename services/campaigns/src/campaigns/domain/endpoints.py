"""Routes `/api/v1/domains`."""

from collections.abc import AsyncIterator

from fastapi import Depends, Response

from campaigns.access import readable_workspaces
from campaigns.domain import queries, service
from campaigns.domain.rules import records_of
from campaigns.domain.schemas import DnsRecord, Domain, DomainCreate, DomainSummary
from campaigns.models import DkimKeyRow, DomainRow
from campaigns.parts import Parts
from common.context import WorkspaceRole
from common.db.paging import page
from common.ids import DomainId, Kind, WorkspaceId, to_text
from common.schema import Page
from common.web.deps import Cursor, Limit, Session, Shared
from common.web.etags import IfMatch, check_version, set_etag
from common.web.routes import tenant_router
from common.web.workspace_access import require_workspace

router = tenant_router("/domains", "domains")


async def wait_for_turn(parts: Parts) -> AsyncIterator[None]:
    """Let few requests make keys at a time; the others wait without a database connection."""
    async with parts.dkim.turn():
        yield


# A route's own dependencies are resolved before its parameters, so the turn comes before the session.
_TURN = Depends(wait_for_turn, scope="function")


@router.post("", status_code=201, operation_id="addDomain", dependencies=[_TURN])
async def add_domain(body: DomainCreate, session: Session, parts: Parts, response: Response) -> Domain:
    """Add a domain to send from; the answer says which DNS records to create."""
    await require_workspace(session, body.workspace_id, "admin")
    row, key = await service.add_domain(session, body, parts.dkim)
    response.headers["Location"] = f"/api/v1/domains/{to_text(Kind.DOMAIN, row.domain_id)}"
    return _answer(row, key, parts, response)


@router.get("", operation_id="listDomains")
async def list_domains(
    session: Session,
    shared: Shared,
    workspace_id: WorkspaceId | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DomainSummary]:
    """The domains of one workspace, or of all that the caller may see, newest first, without records."""
    workspaces = await readable_workspaces(session, workspace_id)
    rows, next_cursor = await page(
        session,
        shared.cursors,
        queries.select_domains(workspaces),
        DomainRow.domain_id,
        limit=limit,
        cursor=cursor,
    )
    return Page(data=[DomainSummary.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{domain_id}", operation_id="getDomain")
async def get_domain(domain_id: DomainId, session: Session, parts: Parts, response: Response) -> Domain:
    """One domain with the DNS records it needs."""
    await _require(session, domain_id)
    row, key = await queries.get_domain(session, domain_id)
    return _answer(row, key, parts, response)


@router.delete("/{domain_id}", status_code=204, operation_id="removeDomain")
async def remove_domain(domain_id: DomainId, session: Session, if_match: IfMatch = None) -> None:
    """Remove a domain and its key."""
    await _require(session, domain_id, "admin")
    row = await queries.lock_domain(session, domain_id)
    check_version(if_match, row.version)
    await service.remove_domain(session, row)


async def _require(session: Session, domain_id: DomainId, *roles: WorkspaceRole) -> None:
    """Judge the caller by the domain's workspace; whoever may not see it learns nothing of it."""
    workspace_id = await queries.get_workspace_of(session, domain_id)
    await require_workspace(session, workspace_id, *roles, hidden=queries.missing_domain(domain_id))


def _answer(row: DomainRow, key: DkimKeyRow, parts: Parts, response: Response) -> Domain:
    set_etag(response, row.version)
    records = records_of(
        row.domain, row.ownership_token, key.selector, key.public_key, parts.settings.mail_host
    )
    summary = DomainSummary.model_validate(row)
    return Domain(**dict(summary), records=[DnsRecord.model_validate(record) for record in records])
