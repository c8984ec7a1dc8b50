"""Sends queued mails, at least once.

A mail is claimed and the claim committed, then sent outside any transaction, then settled. The claim is
renewed as long as its process lives, so only the death of the process between the server's 250 and the
settling commit can make a second copy, which has the same Message-ID.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from uuid import UUID

from opentelemetry.trace import SpanKind

from auth.mail import queries, rendering
from auth.mail.gateway import MailServer, NotNow, Refused, ServerAway
from auth.mail.rules import LEASE
from auth.mail.service import Claimed, claim_mail, settle_mail
from auth.settings import AuthSettings, settings_of
from common import telemetry
from common.context import SystemContext
from common.db.errors import is_unavailable
from common.db.session import Database
from common.web.kernel import Kernel
from common.work import Rounds

log = logging.getLogger(__name__)

_MAILS_AT_A_TIME = 8
_OUTAGE_SECONDS = 1.0
_SETTLE_RETRY_SECONDS = 0.25


async def send_mails(kernel: Kernel) -> None:
    """Worker: send what is due, until cancelled; then finish what is under way."""
    settings = settings_of(kernel)
    server = MailServer(settings.smtp_url.get_secret_value())
    await Postman(kernel.database, settings, server).rounds.run()


class Postman:
    """Takes mails of all tenants to one server, a few at a time."""

    def __init__(self, database: Database, settings: AuthSettings, server: MailServer) -> None:
        self._database = database
        self._settings = settings
        self._server = server
        self.rounds = Rounds(
            "mail", "auth", database, queries.list_due_tenants, self._send_one, at_a_time=_MAILS_AT_A_TIME
        )

    async def _send_one(self, tenant_id: UUID) -> None:
        """Send one mail of the tenant. A mail that cannot even be tried comes again when its claim ends."""
        mail = await self._claim(tenant_id)
        if mail is None:
            return
        parent = telemetry.remote_context(mail.traceparent)
        with telemetry.span("send mail", SpanKind.CLIENT, parent, app__mail__kind=mail.kind):
            async with self._kept_claim(mail):
                failure = await self._deliver(mail)
                await self._settle(mail, failure)
        if isinstance(failure, ServerAway):
            self.rounds.pause(_OUTAGE_SECONDS)

    async def _claim(self, tenant_id: UUID) -> Claimed | None:
        async with self._database.tenant(SystemContext(tenant_id, "job", "auth")) as session:
            row = await queries.find_due_mail(session)
            if row is None:
                return None
            mail = await claim_mail(session, row, self._settings)
            await session.commit()
            return mail

    async def _deliver(self, mail: Claimed) -> Exception | None:
        """Send the mail; what the server had against it, or None."""
        letter = mail.letter
        message = _write(mail)
        sender = rendering.sender_address(letter.sender)
        try:
            await self._server.send(message, sender, rendering.recipient_address(letter.recipient))
        except (ServerAway, NotNow, Refused) as failure:
            return failure
        return None

    async def _settle(self, mail: Claimed, failure: Exception | None) -> None:
        """Store the outcome, however long the database is away: forgetting it would send a second copy."""
        while True:
            try:
                async with self._database.tenant(SystemContext(mail.tenant_id, "job", "auth")) as session:
                    row = await queries.lock_claimed(session, mail.mail_id, mail.claim)
                    if row is not None:
                        await settle_mail(session, row, failure)
                    await session.commit()
                return
            except Exception as error:
                if not is_unavailable(error):
                    raise
                log.warning("outcome of a mail not stored yet", extra={"fields": {"attempts": mail.attempts}})
            await asyncio.sleep(_SETTLE_RETRY_SECONDS)

    @asynccontextmanager
    async def _kept_claim(self, mail: Claimed) -> AsyncGenerator[None]:
        keeper = asyncio.create_task(self._keep_claim(mail))
        try:
            yield
        finally:
            keeper.cancel()
            (ended,) = await asyncio.gather(keeper, return_exceptions=True)
            if not isinstance(ended, asyncio.CancelledError):
                log.error("the claim of a mail was lost", exc_info=ended)

    async def _keep_claim(self, mail: Claimed) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            try:
                async with self._database.tenant(SystemContext(mail.tenant_id, "job", "auth")) as session:
                    await queries.renew_claim(session, mail.mail_id, mail.claim, LEASE)
                    await session.commit()
            except Exception as error:
                if not is_unavailable(error):
                    raise
                log.warning("claim of a mail not renewed", extra={"fields": {"error": type(error).__name__}})


def _write(mail: Claimed) -> EmailMessage:
    company = mail.facts["company"]
    if mail.kind == "invitation":
        return rendering.invitation(mail.letter, company, mail.facts["by"], mail.link)
    return rendering.welcome(mail.letter, company, mail.link)
