"""Reads of deletions, and whose turn it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update

from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from tenants.deletion.rules import STAGES, Stage
from tenants.models import DeletionRow, ErasureReportRow, SignUpKeyRow

_DUE_TENANTS = text("SELECT tenants.due_deletions(:batch)")
_VERSION = text("SELECT version FROM tenancy.tenants WHERE tenant_id = :tenant")
_LIST = text("SELECT * FROM tenants.list_deletions(:begun, :certified, :stuck, :before, :batch)")
_OPEN_TENANTS = text("SELECT tenants.open_deletions()")


async def find_deletion(session: TenantSession) -> DeletionRow | None:
    """The tenant's deletion, or None while it is to stay."""
    return await session.scalar(select(DeletionRow))


async def lock_deletion(session: TenantSession) -> DeletionRow | None:
    """The tenant's deletion, locked; None while it is to stay."""
    statement = select(DeletionRow).with_for_update().execution_options(populate_existing=True)
    return await session.scalar(statement)


async def claim_due(session: TenantSession) -> DeletionRow | None:
    """The tenant's deletion when a step of it is due and nobody is at it, locked."""
    now = func.clock_timestamp()
    statement = select(DeletionRow).where(
        DeletionRow.certified_at.is_(None),
        DeletionRow.next_step_at <= now,
        DeletionRow.deleted_at.is_not(None) | (DeletionRow.erase_at <= now),
    )
    return await session.scalar(statement.with_for_update(skip_locked=True))


async def stand_back(session: TenantSession, delay: timedelta) -> None:
    """Let the tenant's deletion rest for `delay`."""
    await session.execute(update(DeletionRow).values(next_step_at=func.clock_timestamp() + delay))


async def list_reports(session: TenantSession) -> Sequence[ErasureReportRow]:
    """What the services have said."""
    return (await session.scalars(select(ErasureReportRow).order_by(ErasureReportRow.service))).all()


async def get_version(session: TenantSession) -> int:
    """The version that the tenant has in the kernel's projection, deleted or not."""
    return (await session.execute(_VERSION, {"tenant": session.tenant_id})).scalar_one()


async def list_due_tenants(session: TenantSession, batch: int) -> Sequence[UUID]:
    """Tenants with a step of their deletion due, longest due first; for the platform's tenant."""
    return (await session.scalars(_DUE_TENANTS, {"batch": batch})).all()


async def list_open_tenants(session: TenantSession) -> Sequence[UUID]:
    """Tenants whose deletion is not certified yet, oldest first; in the platform's own context."""
    return (await session.scalars(_OPEN_TENANTS)).all()


@dataclass(frozen=True, slots=True)
class WantedDeletions:
    """Which deletions: those with this status; those that something stands in the way of."""

    status: Stage | None = None
    stuck: bool = False


async def find_deletions(
    session: TenantSession, wanted: WantedDeletions, before: UUID | None, batch: int
) -> Sequence[Any]:
    """At most `batch` deletions of tenants older than `before`, newest first; in the platform's own context
    only."""
    begun, certified = (None, None) if wanted.status is None else STAGES[wanted.status]
    values = {"begun": begun, "certified": certified, "stuck": wanted.stuck}
    return (await session.execute(_LIST, {**values, "before": before, "batch": batch})).all()


async def get_deletion(session: TenantSession) -> DeletionRow:
    """The tenant's deletion.

    Raises:
        ResourceNotFound: the tenant is to stay, or there is none.
    """
    row = await find_deletion(session)
    if row is None:
        raise ResourceNotFound("tenant", session.tenant_id, to_text(Kind.TENANT, session.tenant_id))
    return row


async def forget_sign_up(session: TenantSession, tenant_id: UUID) -> None:
    """Forget the key that a tenant was made with; in a context of the platform's tenant, whose row it is."""
    await session.execute(delete(SignUpKeyRow).where(SignUpKeyRow.new_tenant_id == tenant_id))
