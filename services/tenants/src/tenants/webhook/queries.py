"""Events of Stripe's; all in contexts of the platform's tenant."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from common.db.session import TenantSession
from tenants.models import StripeEventRow

Outcome = Literal["looked", "ignored", "unknown_customer"]

_TENANTS = text("SELECT tenants.tenants_of_customer(:customer)")


async def put_event(session: TenantSession, event_id: str, kind: str, customer_id: str | None) -> None:
    """Store an event, unless it is stored."""
    values = {
        "tenant_id": session.tenant_id,
        "event_id": event_id,
        "type": kind,
        "customer_id": customer_id,
    }
    await session.execute(insert(StripeEventRow).values(values).on_conflict_do_nothing())


async def list_open(session: TenantSession, batch: int) -> Sequence[StripeEventRow]:
    """Events that nothing was done about, oldest first."""
    statement = select(StripeEventRow).where(StripeEventRow.handled_at.is_(None))
    return (await session.scalars(statement.order_by(StripeEventRow.received_at).limit(batch))).all()


async def find_tenant(session: TenantSession, customer_id: str) -> UUID | None:
    """The tenant whose row has this customer; None when none has, or several."""
    found = (await session.scalars(_TENANTS, {"customer": customer_id})).all()
    return found[0] if len(found) == 1 else None


async def close_event(session: TenantSession, event_id: str, outcome: Outcome) -> None:
    """Say what came of an event."""
    statement = update(StripeEventRow).where(StripeEventRow.event_id == event_id)
    await session.execute(statement.values(outcome=outcome, handled_at=func.clock_timestamp()))


async def drop_old(session: TenantSession, age: timedelta) -> None:
    """Forget events of which Stripe will not tell again."""
    outdated = StripeEventRow.received_at < func.clock_timestamp() - age
    await session.execute(delete(StripeEventRow).where(StripeEventRow.handled_at.is_not(None), outdated))
