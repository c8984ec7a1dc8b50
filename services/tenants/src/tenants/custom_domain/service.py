"""What can be done with a custom domain. Every caller has locked the tenant's row before."""

from common import clock
from common.bus import outbox
from common.contracts.tenants import LinkHostChanged
from common.db.session import TenantSession
from tenants.custom_domain import queries
from tenants.custom_domain.errors import DomainUnavailable
from tenants.custom_domain.rules import AGAIN, DAILY, Problem, claim_hash
from tenants.models import CompanyRow, CustomDomainRow


async def choose(session: TenantSession, domain: str | None, secret: str) -> bool:
    """Put another domain, or none, in place of the tenant's; True when links have used the one before.

    Raises:
        DomainUnavailable: another tenant has it.
    """
    before = await queries.find_custom_domain(session)
    if domain is not None and not await queries.claim_domain(session, claim_hash(secret, domain)):
        raise DomainUnavailable
    was_used = before is not None and before.verified_at is not None
    if before is not None:
        await queries.release_domain(session, claim_hash(secret, before.domain))
        await session.delete(before)
        await session.flush()
    if domain is not None:
        session.add(CustomDomainRow(domain=domain))
        await session.flush()
    return was_used


async def settle(
    session: TenantSession, company: CompanyRow, row: CustomDomainRow, problem: Problem | None, secret: str
) -> None:
    """Note what DNS says; links use the domain from now on, or no longer.

    Raises:
        DomainUnavailable: the claim lapsed, and another tenant has the domain now.
    """
    verified = problem is None
    if not await queries.confirm_domain(session, claim_hash(secret, row.domain), verified=verified):
        raise DomainUnavailable
    now = clock.now()
    changed = verified != (row.verified_at is not None)
    row.checked_at, row.problem = now, problem
    row.verified_at = (row.verified_at or now) if verified else None
    await session.flush()
    await queries.check_after(session, DAILY)
    if changed:
        await tell(session, company, row.domain if verified else None)


async def settle_again(
    session: TenantSession, company: CompanyRow, row: CustomDomainRow, problem: Problem | None, secret: str
) -> None:
    """Note what DNS says of a domain in use; links leave it when the look an hour later finds the same.

    Raises:
        DomainUnavailable: see `settle`.
    """
    if problem is None or row.problem is not None or row.verified_at is None:
        await settle(session, company, row, problem, secret)
        return
    row.checked_at, row.problem = clock.now(), problem
    await session.flush()
    await queries.check_after(session, AGAIN)


async def tell(session: TenantSession, company: CompanyRow, link_host: str | None) -> None:
    """Say which host the tenant's links use; None: the platform's. It is a change of its own: no two events
    of the tenant have one version."""
    company.updated_at = clock.now()
    await session.flush()
    event = LinkHostChanged(tenant_id=session.tenant_id, version=company.version, link_host=link_host)
    await outbox.emit(session, event)
