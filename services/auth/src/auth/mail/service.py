"""Mails on their way: queued, claimed for an attempt, settled after it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from auth.account.queries import find_user
from auth.invitation.rules import LINK_PURPOSE as INVITATION_PURPOSE
from auth.mail import queries
from auth.mail.gateway import Refused, ServerAway
from auth.mail.rendering import Letter
from auth.mail.rules import LEASE, RESET_LINK_LIFE, WELCOME_LINK_LIFE, retry_delay
from auth.models import MailRow, PasswordTokenRow, UserRow
from auth.opaque import derived_token
from auth.settings import AuthSettings
from common import clock, telemetry
from common.bus import outbox
from common.contracts.auth import WelcomeMailDelayed, WelcomeMailRefused, WelcomeMailSent
from common.contracts.tenants import ProvisioningResumed
from common.db.session import TenantSession
from common.ids import new_id

LINK_PURPOSE = "password link"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A mail that is ours to send."""

    tenant_id: UUID
    mail_id: UUID
    claim: UUID
    attempts: int
    kind: str
    letter: Letter
    facts: dict[str, str]
    link: str
    traceparent: str | None


async def queue_welcome(session: TenantSession, owner: UserRow, company: str) -> None:
    """Queue the welcome mail of a tenant's first owner. `occasion` allows one per tenant."""
    session.add(
        MailRow(
            mail_id=new_id(),
            kind="welcome",
            occasion="welcome",
            user_id=owner.user_id,
            recipient=owner.email,
            recipient_name=owner.name,
            facts={"company": company},
            traceparent=telemetry.carrier().get("traceparent"),
        )
    )
    await session.flush()


async def queue_invitation(
    session: TenantSession, invitation_id: UUID, recipient: str, facts: dict[str, str]
) -> None:
    """Queue the mail of an invitation, whose id it shares."""
    session.add(
        MailRow(
            mail_id=invitation_id,
            kind="invitation",
            occasion=f"invitation {invitation_id}",
            recipient=recipient,
            recipient_name="",
            facts=facts,
            traceparent=telemetry.carrier().get("traceparent"),
        )
    )
    await session.flush()


async def claim_mail(session: TenantSession, row: MailRow, settings: AuthSettings) -> Claimed:
    """Make the mail ours for a lease, and its link good."""
    claim = new_id()
    row.claim = claim
    row.attempts += 1
    await session.flush()
    await queries.renew_claim(session, row.mail_id, claim, LEASE)
    letter = Letter(row.mail_id, row.created_at, settings.mail_from, row.recipient, row.recipient_name)
    link = await _make_link(session, row, settings)
    return Claimed(
        tenant_id=row.tenant_id,
        mail_id=row.mail_id,
        claim=claim,
        attempts=row.attempts,
        kind=row.kind,
        letter=letter,
        facts=dict(row.facts),
        link=link,
        traceparent=row.traceparent,
    )


async def _make_link(session: TenantSession, row: MailRow, settings: AuthSettings) -> str:
    """The page that the mail is about, with the mail's own token: derived, so that no table holds it."""
    key = settings.link_secret.get_secret_value()
    base = str(settings.public_url).rstrip("/")
    if row.kind == "invitation":
        invitation = derived_token(key, INVITATION_PURPOSE, row.tenant_id, row.mail_id)
        return f"{base}/invitation?token={invitation.text}"
    token = derived_token(key, LINK_PURPOSE, row.tenant_id, row.mail_id)
    if row.user_id is not None and await queries.find_password_token(session, row.mail_id) is None:
        life = WELCOME_LINK_LIFE if row.kind == "welcome" else RESET_LINK_LIFE
        session.add(
            PasswordTokenRow(
                token_id=row.mail_id,
                user_id=row.user_id,
                purpose=row.kind,
                secret_hash=token.secret_hash,
                expires_at=clock.now() + life,
            )
        )
        await session.flush()
    return f"{base}/onboarding?token={token.text}"


async def settle_mail(session: TenantSession, row: MailRow, failure: Exception | None) -> None:
    """Note what became of an attempt."""
    row.claim = None
    row.error = None if failure is None else _reason(failure)
    if failure is None:
        row.state, row.sent_at = "sent", clock.now()
    elif isinstance(failure, Refused):
        row.state = "refused"
    else:
        delay = retry_delay(row.attempts, server_away=isinstance(failure, ServerAway))
        row.next_attempt_at = clock.now() + delay
    await session.flush()
    if row.kind == "welcome":
        await _tell(session, row, failure)


async def _tell(session: TenantSession, row: MailRow, failure: Exception | None) -> None:
    user = None if row.user_id is None else await find_user(session, row.user_id, lock=True)
    if user is None:
        return
    about: dict[str, Any] = {"tenant_id": row.tenant_id, "user_id": user.user_id, "version": user.version}
    event: WelcomeMailSent | WelcomeMailRefused | WelcomeMailDelayed
    if failure is not None and row.state == "queued":
        event = WelcomeMailDelayed(
            **about, attempts=row.attempts, reason=_reason(failure), next_attempt_at=row.next_attempt_at
        )
    elif isinstance(failure, Refused):
        event = WelcomeMailRefused(**about, attempts=row.attempts, code=failure.code)
    else:
        event = WelcomeMailSent(**about, attempts=row.attempts)
    await outbox.emit(session, event)


async def retry_welcome_mail(session: TenantSession, event: ProvisioningResumed) -> None:
    """Send the welcome mail now, also one that the server has refused."""
    if "welcome_mail" in event.steps:
        await queries.make_welcome_due(session)


def _reason(failure: Exception) -> str:
    if isinstance(failure, Refused):
        return f"refused_{failure.code}"
    return "server_away" if isinstance(failure, ServerAway) else "deferred"
