"""One event in one transaction: claimed, projected, handled; or buried, or kept behind a dead letter."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from opentelemetry.trace import Span, SpanKind
from sqlalchemy import text

from common import telemetry
from common.bus import inbox, outbox
from common.bus.errors import Invalid
from common.bus.inbox import Claim
from common.bus.projections import PROJECTIONS, Handler, Skippable, restore_tombstone
from common.context import SystemContext
from common.contracts.envelope import Envelope, Event, InvalidEvent, tenant_key
from common.db.dead_letters import bury, wait_behind
from common.db.session import Database, TenantSession
from common.ids import Kind, to_text

_WORDS = {
    Claim.OURS: "handled",
    Claim.HANDLED: "known",
    Claim.HELD: "kept behind a dead letter",
    Claim.BURIED: "dead",
    Claim.ENDED: "of a deleted tenant",
}
UNREADABLE = "penguinmails.unreadable"
# Well below deadlock_timeout (1 s), at which the database would choose a victim.
_PATIENCE = text("SELECT set_config('lock_timeout', '100ms', true)")

Arrival = tuple[str, Envelope]
"""An event and the topic it came on."""


class Handling:
    """What one consumer does about events: the kernel's projections, then the service's own handler."""

    def __init__(self, consumer: str, database: Database, handlers: Mapping[type[Event], Handler]) -> None:
        for cls, handler in handlers.items():
            if isinstance(handler, Skippable) and cls in PROJECTIONS:
                raise TypeError(f"{cls.__name__} is projected: its aggregate's later events must wait for it")
        self.consumer = consumer
        self.database = database
        self._handlers = handlers
        self._skippable = {cls.ce_type() for cls, one in handlers.items() if isinstance(one, Skippable)}
        self._types = {cls.ce_type() for cls in (*handlers, *PROJECTIONS)} | {UNREADABLE}

    def concerns(self, envelope: Envelope) -> bool:
        """Whether the consumer does anything about events of this type."""
        return envelope.type in self._types

    def context(self, tenant_id: UUID, event_id: UUID) -> SystemContext:
        """The context in which an event is handled."""
        return SystemContext(tenant_id, "event", self.consumer, cause_id=to_text(Kind.EVENT, event_id))

    async def apply(self, topic: str, envelope: Envelope) -> None:
        """Handle the event and commit; nothing when that was done before or must wait.

        Raises:
            Exception: whatever the handler raised; nothing is committed then.
        """
        event = self.read(topic, envelope)
        telemetry.log_fields.set({"tenant_id": tenant_key(envelope.tenant_id)})
        with _processing(topic, envelope):
            context = self.context(envelope.tenant_id, envelope.event_id)
            async with self.database.tenant(context) as session:
                await self._settle(session, topic, envelope, event)
                await session.commit()

    async def apply_run(self, arrivals: Sequence[Arrival]) -> None:
        """Handle several events of one tenant, in their order, in one transaction.

        It waits for nobody's locks for long: that it holds those of several events must not be what a
        request dies of.

        Raises:
            Exception: whatever a handler raised; nothing of any of them is committed then.
        """
        events = [self.read(topic, envelope) for topic, envelope in arrivals]
        envelopes = [envelope for _, envelope in arrivals]
        tenant_id = envelopes[0].tenant_id
        telemetry.log_fields.set({"tenant_id": tenant_key(tenant_id)})
        async with self.database.tenant(self.context(tenant_id, envelopes[0].event_id)) as session:
            await session.execute(_PATIENCE)
            ours = await inbox.claim_run(session, self.consumer, envelopes)
            for (topic, envelope), event in zip(arrivals, events, strict=True):
                with _processing(topic, envelope):
                    session.continue_as(self.context(tenant_id, envelope.event_id))
                    if envelope.event_id in ours:
                        ours.remove(envelope.event_id)
                        await self.run_handlers(session, event)
                    else:
                        await self._settle(session, topic, envelope, event)
                    await session.flush()
                    session.expunge_all()
            await session.commit()

    async def _settle(self, session: TenantSession, topic: str, envelope: Envelope, event: Event) -> None:
        match await inbox.claim(session, self.consumer, envelope):
            case Claim.OURS:
                await self.run_handlers(session, event)
            case Claim.HELD:
                await wait_behind(session, self.consumer, topic, envelope)
            case Claim.HANDLED | Claim.BURIED | Claim.ENDED:
                return

    async def replay(self, topic: str, envelope: Envelope, *, dry_run: bool) -> str:
        """Handle the event, or project it again when it was handled before; says which, in a word.

        The log has an erased tenant's first events still. When its tombstone was lost with the projections,
        they would bring it back, so that is put up again before any of them.

        Raises:
            Exception: whatever the handler raised; nothing is committed then.
        """
        event = self.read(topic, envelope)
        context = self.context(envelope.tenant_id, envelope.event_id)
        async with self.database.tenant(context) as session:
            await restore_tombstone(session)
            found = await inbox.claim(session, self.consumer, envelope)
            if found is Claim.OURS:
                await self.run_handlers(session, event)
            elif found is Claim.HANDLED and type(event) in PROJECTIONS:
                await PROJECTIONS[type(event)](session, event)
            elif found is Claim.HELD:
                await wait_behind(session, self.consumer, topic, envelope)
            await (session.rollback() if dry_run else session.commit())
        return _WORDS[found]

    def read(self, topic: str, envelope: Envelope) -> Event:
        """The typed event that came on the topic.

        Raises:
            Invalid: the record is no event, or one of another tenant or topic than it came with.
            InvalidEvent: the payload breaks its contract, or its sender is not who tells of it.
        """
        event = None if envelope.type == UNREADABLE else envelope.event()
        if event is None:
            raise Invalid("the record is not an event")
        if getattr(event, "tenant_id", None) != envelope.tenant_id:
            raise Invalid("payload and envelope name different tenants")
        if topic != type(event).TOPIC:
            raise Invalid("the event belongs to another topic")
        return event

    async def run_handlers(self, session: TenantSession, event: Event) -> None:
        """Everything the event leads to, in the session's transaction."""
        for table in (PROJECTIONS, self._handlers):
            handler = table.get(type(event))
            if handler is not None:
                await handler(session, event)

    def holds(self, envelope: Envelope, error: Exception) -> bool:
        """Whether later events of the aggregate wait when this one dies of `error`.

        They wait for what a mended handler can still apply, unless the table says `Skippable`. What breaks
        the contract never will be, and waiting for it would let a forged record hold up an aggregate.
        """
        if isinstance(error, Invalid | InvalidEvent):
            return False
        return envelope.type not in self._skippable

    async def bury(self, topic: str, envelope: Envelope, error: Exception, attempts: int) -> bool:
        """Keep the event as a dead letter, here and on the dead-letter topic; False when it is there, its
        tenant is no more, or it was handled: what this code cannot read, the code before it may have."""
        reason, holds = type(error).__name__, self.holds(envelope, error)
        async with self.database.tenant(self.context(envelope.tenant_id, envelope.event_id)) as session:
            over = await inbox.is_over(session, envelope)
            if over or await inbox.was_handled(session, self.consumer, envelope):
                return False
            fresh = await bury(session, self.consumer, topic, envelope, reason, attempts, holds=holds)
            if fresh:
                await outbox.emit_dead_letter(session, topic, envelope)
            await session.commit()
        return fresh


def _processing(topic: str, envelope: Envelope) -> AbstractContextManager[Span]:
    return telemetry.span(
        f"process {topic}",
        SpanKind.CONSUMER,
        telemetry.remote_context(envelope.traceparent, envelope.tracestate),
        messaging__system="kafka",
        messaging__operation__name="process",
        messaging__destination__name=topic,
        app__event__type=envelope.type,
        app__tenant__id=tenant_key(envelope.tenant_id),
    )
