"""Routes `/api/v1/tenants/{tenant_id}/deletion`. The owner decides, also while the tenant is suspended."""

from datetime import timedelta
from uuid import UUID

from common.ids import TenantId
from common.web.deps import Session, Shared, owner_only
from common.web.routes import standing_router
from tenants.deletion import queries, service
from tenants.deletion.schemas import Deletion, DeletionCreate
from tenants.models import DeletionRow
from tenants.settings import settings_of
from tenants.tenant.queries import lock_company

router = standing_router("/tenants/{tenant_id}/deletion", "tenants")


@router.post("", status_code=201, operation_id="scheduleTenantDeletion", dependencies=[owner_only])
async def schedule_deletion(
    tenant_id: TenantId, body: DeletionCreate, session: Session, shared: Shared
) -> Deletion:
    """Have the tenant and all it has erased in every service, when the grace is over."""
    company = await lock_company(session)
    grace = timedelta(days=settings_of(shared).deletion_grace_days)
    return _present(tenant_id, await service.schedule(session, company, body.company_name, grace))


@router.get("", operation_id="getTenantDeletion", dependencies=[owner_only])
async def get_deletion(tenant_id: TenantId, session: Session) -> Deletion:
    """Whether and when the tenant will be erased."""
    return _present(tenant_id, await queries.find_deletion(session))


@router.delete("", status_code=204, operation_id="cancelTenantDeletion", dependencies=[owner_only])
async def cancel_deletion(tenant_id: TenantId, session: Session) -> None:
    """Let the tenant stay, as it was before; nothing when it is to stay anyway."""
    await service.cancel(session, await lock_company(session))


def _present(tenant_id: UUID, row: DeletionRow | None) -> Deletion:
    if row is None:
        return Deletion(tenant_id=tenant_id, status="none")
    times = {"scheduled_at": row.scheduled_at, "erase_at": row.erase_at}
    return Deletion(tenant_id=tenant_id, status="scheduled", **times)
