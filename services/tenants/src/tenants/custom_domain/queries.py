"""Reads of custom domains, and their claims, which are unique on the platform."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, text, update

from common.db.session import TenantSession
from tenants.models import CustomDomainRow

_CLAIM = text("SELECT tenants.claim_domain(:hash)")
_CONFIRM = text("SELECT tenants.confirm_domain(:hash, :verified)")
_DUE_TENANTS = text("SELECT tenants.due_domains(:batch)")
_RELEASE = text("SELECT tenants.release_domain(:hash)")


async def claim_domain(session: TenantSession, domain_hash: bytes) -> bool:
    """Claim a domain for the session's tenant; False when another tenant has it."""
    return bool(await session.scalar(_CLAIM, {"hash": domain_hash}))


async def confirm_domain(session: TenantSession, domain_hash: bytes, *, verified: bool) -> bool:
    """Note on the tenant's claim whether DNS confirms it; False when it is another tenant's by now."""
    return bool(await session.scalar(_CONFIRM, {"hash": domain_hash, "verified": verified}))


async def release_domain(session: TenantSession, domain_hash: bytes) -> None:
    """Give the tenant's claim up."""
    await session.execute(_RELEASE, {"hash": domain_hash})


async def find_custom_domain(session: TenantSession) -> CustomDomainRow | None:
    return await session.scalar(select(CustomDomainRow))


async def claim_due(session: TenantSession) -> CustomDomainRow | None:
    """The tenant's verified domain when it is due to be looked up and nobody is at it, locked."""
    statement = select(CustomDomainRow).where(
        CustomDomainRow.verified_at.is_not(None), CustomDomainRow.next_check_at <= func.clock_timestamp()
    )
    return await session.scalar(statement.with_for_update(skip_locked=True))


async def check_after(session: TenantSession, delay: timedelta) -> None:
    """Have the tenant's domain looked up after `delay`."""
    await session.execute(update(CustomDomainRow).values(next_check_at=func.clock_timestamp() + delay))


async def list_due_tenants(session: TenantSession, batch: int) -> Sequence[UUID]:
    """Tenants whose domain is to be looked up, longest due first; in a context of the platform's tenant."""
    return (await session.scalars(_DUE_TENANTS, {"batch": batch})).all()
