"""Dead letters brought back or given up by an operator; what waited behind them follows, in order, once.

Each event is a transaction of its own: effects, inbox row and the end of the letter together. The letter at
the front of its aggregate is locked meanwhile, so a running consumer either adds to what waits or, when
nothing is left, handles the next event itself.
"""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from common.bus import inbox, outbox
from common.bus.errors import Transient
from common.bus.handling import Handling
from common.contracts.envelope import Actor
from common.contracts.operations import DeadLetterDropped, DeadLetterRetried
from common.db import dead_letters
from common.db.dead_letters import Letter
from common.db.errors import is_unavailable
from common.db.session import TenantSession

Result = Literal["applied", "failed", "dropped", "waits", "gone"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`followed`: how many events that had waited were applied. `error`: what a letter died of again."""

    result: Result
    followed: int = 0
    error: str | None = None


class Redrive:
    """Works on the dead letters of one consumer in an operator's name."""

    def __init__(self, handling: Handling, operator: str) -> None:
        self._handling = handling
        self._operator = Actor(type="operator", id=operator)

    async def retry(self, tenant_id: UUID, event_id: UUID) -> Outcome:
        """Handle a dead event again, and then what waited behind it.

        Raises:
            Transient: a dependency is away; nothing has changed. So do the database's own errors.
        """
        handling = self._handling
        async with handling.database.tenant(handling.context(tenant_id, event_id)) as session:
            letter = await dead_letters.lock_letter(session, handling.consumer, event_id)
            if letter is None or letter.waiting:
                return Outcome("gone" if letter is None else "waits")
            error = await self._reapply(session, letter)
            event = DeadLetterRetried(**_facts(letter), error=error)
            await outbox.emit(session, event, self._operator)
            await session.commit()
        if error is not None:
            return Outcome("failed", error=error)
        return Outcome("applied", await self._follow(tenant_id, letter.subject))

    async def drop(self, tenant_id: UUID, event_id: UUID, reason: str) -> Outcome:
        """Give a dead event up; what waited behind it is applied without it."""
        handling = self._handling
        async with handling.database.tenant(handling.context(tenant_id, event_id)) as session:
            letter = await dead_letters.lock_letter(session, handling.consumer, event_id)
            if letter is None or letter.waiting:
                return Outcome("gone" if letter is None else "waits")
            await dead_letters.remove_letter(session, letter)
            event = DeadLetterDropped(**_facts(letter), reason=reason)
            await outbox.emit(session, event, self._operator)
            await session.commit()
        return Outcome("dropped", await self._follow(tenant_id, letter.subject))

    async def _follow(self, tenant_id: UUID, subject: str) -> int:
        """Apply what waited in the aggregate, until another dead letter holds it up."""
        followed = 0
        while await self._apply_front(tenant_id, subject):
            followed += 1
        return followed

    async def _apply_front(self, tenant_id: UUID, subject: str) -> bool:
        """Apply the first that waits; False when nothing is left or something dead is in front of it."""
        handling = self._handling
        async with handling.database.tenant(handling.context(tenant_id, tenant_id)) as session:
            first = await dead_letters.lock_front(session, handling.consumer, subject)
        if first is None or not first.waiting:
            return False
        async with handling.database.tenant(handling.context(tenant_id, first.event_id)) as session:
            front = await dead_letters.lock_front(session, handling.consumer, subject)
            if front is None or front.event_id != first.event_id or not front.waiting:
                return False  # somebody else is at it
            error = await self._reapply(session, front)
            await session.commit()
        return error is None

    async def _reapply(self, session: TenantSession, letter: Letter) -> str | None:
        """Have the effects of the locked letter; or note what it died of, and return that."""
        handling = self._handling
        envelope = dead_letters.envelope_of(letter)
        try:
            async with session.begin_nested():
                event = handling.read(letter.topic, envelope)
                if await inbox.claim_again(session, handling.consumer, envelope):
                    await handling.run_handlers(session, event)
                await session.flush()
        except Exception as error:
            if isinstance(error, Transient) or is_unavailable(error):
                raise
            reason, holds = type(error).__name__, handling.holds(envelope, error)
            await dead_letters.note_failure(session, letter, reason, holds=holds)
            if letter.waiting:
                await outbox.emit_dead_letter(session, letter.topic, envelope)
            return reason
        await dead_letters.remove_letter(session, letter)
        return None


def _facts(letter: Letter) -> dict[str, Any]:
    return {
        "tenant_id": letter.tenant_id,
        "event_id": letter.event_id,
        "consumer": letter.consumer,
        "type": letter.type,
    }
