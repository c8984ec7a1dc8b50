"""Mending sign-ups that are stuck; for operators."""

from common.db.session import TenantSession
from tenants.billing.queries import schedule_unfinished


async def resume(session: TenantSession) -> None:
    """Have every unfinished step of our own tried now; the others go on with their events."""
    await schedule_unfinished(session)
