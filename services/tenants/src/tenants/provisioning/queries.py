"""Reads of sign-ups."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert

from common import clock
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import Kind, to_text
from tenants.models import CompanyRow, ProvisioningRow, SignUpKeyRow, StepRow
from tenants.provisioning.rules import KEY_LIFE, SIGN_UPS

_LIST = text("SELECT * FROM tenants.list_sign_ups(:finished, :failed, :since, :before, :batch)")
_UNFINISHED = text("SELECT tenants.unfinished_sign_ups()")


async def put_sign_up_key(session: TenantSession, row: SignUpKeyRow) -> SignUpKeyRow:
    """The key's row: `row` itself when the key is new, else the one that was there first."""
    outdated = clock.now() - KEY_LIFE
    await session.execute(
        delete(SignUpKeyRow).where(SignUpKeyRow.key_hash == row.key_hash, SignUpKeyRow.created_at < outdated)
    )
    values = {
        "tenant_id": session.tenant_id,
        "key_hash": row.key_hash,
        "request_hash": row.request_hash,
        "new_tenant_id": row.new_tenant_id,
        "owner_user_id": row.owner_user_id,
        "default_workspace_id": row.default_workspace_id,
    }
    await session.execute(insert(SignUpKeyRow).values(values).on_conflict_do_nothing())
    statement = select(SignUpKeyRow).where(SignUpKeyRow.key_hash == row.key_hash)
    return (await session.scalars(statement)).one()


async def put_company(session: TenantSession, row: CompanyRow) -> bool:
    """Store the session's tenant; False when it is stored already."""
    values = {
        "tenant_id": session.tenant_id,
        "company_name": row.company_name,
        "plan": row.plan,
        "owner_user_id": row.owner_user_id,
        "default_workspace_id": row.default_workspace_id,
    }
    statement = insert(CompanyRow).values(values).on_conflict_do_nothing().returning(CompanyRow.version)
    return (await session.execute(statement)).first() is not None


async def list_unfinished(session: TenantSession) -> Sequence[UUID]:
    """Tenants whose sign-up is unfinished, oldest first; in a context of the platform's tenant."""
    return (await session.scalars(_UNFINISHED)).all()


@dataclass(frozen=True, slots=True)
class WantedSignUps:
    """Which sign-ups: those with this status; those that began before `stuck_since`, or failed."""

    status: str | None = None
    stuck_since: datetime | None = None


async def find_sign_ups(
    session: TenantSession, wanted: WantedSignUps, before: UUID | None, batch: int
) -> Sequence[Any]:
    """At most `batch` sign-ups older than `before`, newest first; in the platform's own context only."""
    finished, failed = (None, None) if wanted.status is None else SIGN_UPS[wanted.status]
    values = {"finished": finished, "failed": failed, "since": wanted.stuck_since}
    return (await session.execute(_LIST, {**values, "before": before, "batch": batch})).all()


async def find_ready_at(session: TenantSession) -> datetime | None:
    """When the session's tenant could be used first, or None when it cannot yet."""
    return await session.scalar(select(ProvisioningRow.ready_at))


async def get_provisioning(session: TenantSession) -> ProvisioningRow:
    """The sign-up of the session's tenant.

    Raises:
        ResourceNotFound: there was none.
    """
    row = await session.scalar(select(ProvisioningRow))
    if row is None:
        raise ResourceNotFound("tenant", session.tenant_id, to_text(Kind.TENANT, session.tenant_id))
    return row


async def lock_provisioning(session: TenantSession) -> ProvisioningRow | None:
    """The sign-up of the session's tenant, locked until the transaction ends; or None."""
    return await session.scalar(select(ProvisioningRow).with_for_update())


async def list_steps(session: TenantSession) -> Sequence[StepRow]:
    """All steps in their order."""
    return (await session.scalars(select(StepRow).order_by(StepRow.place))).all()
