"""Reserving a part of what a tenant may send in a month."""

from datetime import datetime

from campaigns.quota import queries
from common.bus import outbox
from common.contracts.campaigns import EmailSendsReserved
from common.db.session import TenantSession
from common.errors import LimitExceeded


async def reserve_sends(session: TenantSession, count: int, now: datetime) -> None:
    """Reserve `count` e-mails of the calendar month (UTC) of `now`: all of them, or none.

    Raises:
        LimitExceeded: the plan's `email_sends_per_month` has no room for them.
        ValueError: `count` is not positive.
    """
    if count <= 0:
        raise ValueError("only a positive number can be reserved")
    month = now.date().replace(day=1)
    maximum = await queries.get_limit(session)
    made = await queries.add_reserved(session, month, count, maximum)
    if made is None:
        current = await queries.get_reserved(session, month)
        raise LimitExceeded("email_sends_per_month", current, maximum)
    reserved, version = made
    event = EmailSendsReserved(
        tenant_id=session.tenant_id, version=version, month=month, reserved=reserved, added=count
    )
    await outbox.emit(session, event)
