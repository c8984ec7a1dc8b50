"""Events that tell of no change: a tenant's share transactions. See docs/adr/0035-shared-transactions.md."""

import asyncio
from collections import deque
from contextvars import Context, copy_context
from dataclasses import dataclass
from uuid import UUID

from common.bus import outbox
from common.context import Purpose, SystemContext
from common.contracts.audit import AccessDenied, AccessGap, AccessMissed, AccessRecorded
from common.db.errors import is_unavailable
from common.db.session import Database
from common.db.statements import EVENTS

AccessEvent = AccessDenied | AccessMissed | AccessRecorded | AccessGap
MOST = 200
"""Events of one transaction, at most."""


@dataclass(slots=True)
class _Told:
    rows: list[outbox.Row]
    caller: Context
    committed: asyncio.Future[None]

    def end(self, error: Exception | None = None) -> None:
        """Let the caller go on, unless they have gone."""
        if self.committed.done():
            return
        if error is None:
            self.committed.set_result(None)
        else:
            self.committed.set_exception(error)


class Teller:
    """Writes events. A tenant has one transaction at a time; what is told meanwhile is the next one."""

    def __init__(self, database: Database, purpose: Purpose, service: str) -> None:
        self._database, self._service = database, service
        self._purpose: Purpose = purpose
        self._waiting: dict[UUID, deque[_Told]] = {}
        """By tenant; a task is at work for each that is in it."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def tell(self, event: AccessEvent) -> None:
        """Write the event, in the trace of the caller; it is committed on return."""
        context = SystemContext(event.tenant_id, self._purpose, self._service)
        committed = asyncio.get_running_loop().create_future()
        told = _Told(outbox.rows_of(context, event), copy_context(), committed)
        if event.tenant_id in self._waiting:
            self._waiting[event.tenant_id].append(told)
        else:
            self._waiting[event.tenant_id] = deque((told,))
            self._begin(context)
        await committed

    def _begin(self, context: SystemContext) -> None:
        """Have what waits written, in the context of whoever waits first, who will not have gone before."""
        waiting = self._waiting[context.tenant_id]
        task = asyncio.create_task(self._work(context, waiting), context=waiting[0].caller)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, context: SystemContext, waiting: deque[_Told]) -> None:
        try:
            await self._write(context, waiting)
        finally:
            if waiting:
                self._begin(context)
            else:
                del self._waiting[context.tenant_id]

    async def _write(self, context: SystemContext, waiting: deque[_Told]) -> None:
        """Commit what waits once the transaction has begun. Should that fail, each for itself: it may be the
        fault of one."""
        taken: list[_Told] = []
        try:
            async with self._database.hot(context) as session:
                taken += _take(waiting)
                rows = [row for told in taken for row in told.rows]
                await session.fetch(EVENTS, **outbox.columns(rows))
                session.note_events()
                await session.commit()
        except Exception as error:  # noqa: BLE001 - the callers hear of it
            taken = taken or _take(waiting)
            if is_unavailable(error) or len(taken) == 1:
                for told in taken:
                    told.end(error)
                return
            for told in taken:
                await self._write(context, deque((told,)))
        for told in taken:
            told.end()


def _take(waiting: deque[_Told]) -> list[_Told]:
    return [waiting.popleft() for _ in range(min(len(waiting), MOST))]
