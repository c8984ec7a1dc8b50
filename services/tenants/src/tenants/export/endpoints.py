"""Routes of exports. The owner asks, also while the tenant is suspended or on its way out."""

from typing import cast

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from common import clock
from common.context import SystemContext
from common.db.session import TenantSession
from common.errors import NotFound, ResourceNotFound
from common.files import Files
from common.ids import JobId, Kind, TenantId, to_text
from common.web.deps import Session, Shared, owner_only
from common.web.routes import public_router, standing_router
from tenants.export import queries, service
from tenants.export.rules import PARTS, read_link, sign_link
from tenants.export.schemas import ExportJob, ExportStatus, Progress
from tenants.export.worker import archive_path
from tenants.models import ExportRow
from tenants.tenant.queries import lock_company

tenant_routes: APIRouter = standing_router("/tenants/{tenant_id}", "tenants")
public_routes: APIRouter = public_router("/tenants/exports", "tenants")
routers = (tenant_routes, public_routes)

_ZIP = "application/zip"


@tenant_routes.post("/export", status_code=202, operation_id="requestTenantExport", dependencies=[owner_only])
async def request_export(
    tenant_id: TenantId, session: Session, shared: Shared, response: Response
) -> ExportJob:
    """Have one archive made of all that is the tenant's, in all services; `Location` says how it goes on.
    One is made at a time: while it is, it is the answer again."""
    row = await service.request(session, await lock_company(session))
    tenant, job = to_text(Kind.TENANT, tenant_id), to_text(Kind.JOB, row.job_id)
    response.headers["Location"] = f"/api/v1/tenants/{tenant}/exports/{job}"
    return await _present(session, row, shared.settings.link_secret.get_secret_value())


@tenant_routes.get("/exports/{job_id}", operation_id="getTenantExport", dependencies=[owner_only])
async def get_export(tenant_id: TenantId, job_id: JobId, session: Session, shared: Shared) -> ExportJob:
    """How far an export is; when it is done, where to fetch it."""
    row = await queries.get_export(session, job_id)
    return await _present(session, row, shared.settings.link_secret.get_secret_value())


@public_routes.get(
    "/{signed}",
    operation_id="fetchTenantExport",
    response_class=StreamingResponse,
    responses={200: {"content": {_ZIP: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def fetch_export(signed: str, shared: Shared) -> StreamingResponse:
    """The archive: JSON Lines by service and resource. The URL itself is the permission, for a day."""
    found = read_link(shared.settings.link_secret.get_secret_value(), signed, clock.now())
    if found is None:
        raise NotFound
    tenant_id, job_id = found
    async with shared.database.tenant(SystemContext(tenant_id, "public", shared.service)) as session:
        await _require_done(session, job_id)
    files, path = Files(shared.settings.files_url), archive_path(tenant_id, job_id)
    if not await files.exists(path):
        raise NotFound
    headers = {
        "Content-Disposition": f'attachment; filename="{to_text(Kind.JOB, job_id)}.zip"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(files.read(path), media_type=_ZIP, headers=headers)


async def _require_done(session: TenantSession, job_id: JobId) -> None:
    """Refuse a link whose export, or tenant, is not there (any more).

    Raises:
        NotFound: so it is.
    """
    try:
        row = await queries.get_export(session, job_id)
    except ResourceNotFound as missing:
        raise NotFound from missing
    if row.status != "done":
        raise NotFound


async def _present(session: TenantSession, row: ExportRow, secret: str) -> ExportJob:
    done = await queries.list_parts(session, row.job_id)
    job = ExportJob(
        job_id=row.job_id,
        status=cast(ExportStatus, row.status),
        progress=Progress(done=len(done), total=len(PARTS), errors=int(row.status == "failed")),
        error=row.error,
    )
    if row.status == "done" and row.expires_at is not None and row.expires_at > clock.now():
        link = sign_link(secret, row.tenant_id, row.job_id, row.expires_at)
        job.result_url = f"/api/v1/tenants/exports/{link}"
    return job
