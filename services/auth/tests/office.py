"""What the tests look at behind the API, and the mail server they script."""

import asyncio
import json
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import asyncpg

from auth.mail.worker import Postman

Mailing = tuple[EmailMessage, str, str]


class ScriptedServer:
    """Stands in for `MailServer`: takes every mail, unless `answers` says what to do first."""

    def __init__(self) -> None:
        self.taken: list[Mailing] = []
        self.answers: list[Exception] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.reached = asyncio.Event()

    async def send(self, message: EmailMessage, sender: str, recipient: str) -> None:
        self.reached.set()
        await self.hold.wait()
        if self.answers:
            raise self.answers.pop(0)
        self.taken.append((message, sender, recipient))


class Office:
    """Rows and events as the superuser sees them."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def emitted(self, tenant_id: UUID, *names: str) -> list[dict[str, Any]]:
        """Payloads of the tenant's events, oldest first, of these names when some are given."""
        rows = await self._connection.fetch(
            "SELECT type, data FROM tenancy.outbox WHERE tenant_id = $1 ORDER BY id", tenant_id
        )
        found = [{"type": row["type"].split(".")[1], **json.loads(row["data"])} for row in rows]
        return [event for event in found if not names or event["type"] in names]

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(statement, *values)

    async def empty_queue(self) -> None:
        await self._connection.execute("UPDATE auth.mails SET state = 'refused' WHERE state = 'queued'")

    async def mail_of(self, tenant_id: UUID) -> asyncpg.Record:
        (row,) = await self.fetch("SELECT * FROM auth.mails WHERE tenant_id = $1", tenant_id)
        return row

    async def make_due(self, tenant_id: UUID) -> None:
        await self._connection.execute(
            "UPDATE auth.mails SET next_attempt_at = now() WHERE tenant_id = $1", tenant_id
        )


async def deliver_until(postman: Postman, done: Callable[[], bool]) -> None:
    """Let the postman go until `done`, a minute at most."""
    async with asyncio.timeout(60):
        while not done():
            await postman.rounds.step()
    await postman.rounds.finish()
