"""Reads and claims of the mail queue."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, or_, select, text, update

from auth.mail.rules import LEASE
from auth.models import MailRow, PasswordTokenRow
from common.db.session import TenantSession

_DUE_TENANTS = text("SELECT auth.due_mail_tenants(:batch, :lease)")


async def list_due_tenants(session: TenantSession, batch: int) -> Sequence[UUID]:
    """Tenants with due mails, longest due first; in a context of the platform's tenant."""
    return (await session.scalars(_DUE_TENANTS, {"batch": batch, "lease": LEASE})).all()


async def find_due_mail(session: TenantSession) -> MailRow | None:
    """The tenant's mail that is due longest and nobody is sending, locked."""
    restarted = func.pg_postmaster_start_time() < func.clock_timestamp() - LEASE
    statement = (
        select(MailRow)
        .where(
            MailRow.state == "queued",
            MailRow.next_attempt_at <= func.clock_timestamp(),
            or_(MailRow.claim.is_(None), restarted),
        )
        .order_by(MailRow.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return await session.scalar(statement)


async def lock_claimed(session: TenantSession, mail_id: UUID, claim: UUID) -> MailRow | None:
    """The mail, locked, while the claim on it is still ours."""
    statement = select(MailRow).where(MailRow.mail_id == mail_id, MailRow.claim == claim)
    return await session.scalar(statement.with_for_update())


async def renew_claim(session: TenantSession, mail_id: UUID, claim: UUID, lease: timedelta) -> None:
    """Keep a claim alive for another `lease`."""
    await session.execute(
        update(MailRow)
        .where(MailRow.mail_id == mail_id, MailRow.claim == claim)
        .values(next_attempt_at=func.clock_timestamp() + lease)
    )


async def make_welcome_due(session: TenantSession) -> None:
    """Have the tenant's welcome mail sent now, unless it is sent or somebody is at it."""
    await session.execute(
        update(MailRow)
        .where(MailRow.kind == "welcome", MailRow.state.in_(("queued", "refused")), MailRow.claim.is_(None))
        .values(state="queued", next_attempt_at=func.clock_timestamp())
    )


async def find_password_token(session: TenantSession, token_id: UUID) -> PasswordTokenRow | None:
    return await session.scalar(select(PasswordTokenRow).where(PasswordTokenRow.token_id == token_id))
