"""Reads of custom domains, and their claims, which are unique on the platform."""

from sqlalchemy import select, text

from common.db.session import TenantSession
from tenants.models import CustomDomainRow

_CLAIM = text("SELECT tenants.claim_domain(:hash)")
_CONFIRM = text("SELECT tenants.confirm_domain(:hash, :verified)")
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
