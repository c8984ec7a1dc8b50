"""Records of access: denials and misses at once, reads in batches. All leave through the outbox."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from common import clock, metrics, telemetry
from common.bus import outbox
from common.bus.telling import Teller
from common.context import Principal, RequestInfo, UserContext
from common.contracts.audit import (
    AccessDenied,
    AccessGap,
    AccessMissed,
    AccessRecord,
    AccessRecorded,
    Target,
)
from common.contracts.envelope import Actor, tenant_key
from common.db.errors import is_unavailable
from common.db.session import Database
from common.ids import PLATFORM_TENANT
from common.metric_names import READS_LOST

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_reads_lost = metrics.counter(READS_LOST, {})

ANONYMOUS = Actor(type="anonymous")
_FLUSH_SECONDS = (0.05, 0.25)
"""Least and most that a read waits before it is written."""
_FLUSH_SHARE = 0.1
"""Of the time, between these bounds: each tenant's reads are a transaction, and others use the database."""
_BATCH = 200
_BAD_IN_A_ROW = 3
"""Reads of one tenant that cannot be written, one by one, before the fault is not theirs."""
_ROOM = 20_000
"""Reads kept while the database is away; what comes beyond is counted in an `AccessGap`."""


class AccessLog:
    """Writes access events of one service."""

    def __init__(self, service: str, database: Database) -> None:
        self._teller = Teller(database, "access", service)
        self._reads: deque[tuple[UUID, AccessRecord]] = deque()
        self._noted = asyncio.Event()
        """Whether there are reads."""
        self._lost: dict[UUID, tuple[int, datetime, datetime]] = {}

    async def denied(
        self,
        caller: Principal | None,
        request: RequestInfo,
        *,
        status: int,
        code: str,
        named_tenant: str | None = None,
        target: Target | None = None,
    ) -> None:
        """Record a refused request, committed on return; unknown callers belong to the platform."""
        tenant_id = _home_of(caller)
        event = AccessDenied(
            tenant_id=tenant_id,
            actor=caller.actor if caller else ANONYMOUS,
            email=caller.email if caller else None,
            request=outbox.http_request(request),
            status=status,
            code=code,
            target=target,
            named_tenant_id=named_tenant,
        )
        await self._teller.tell(event)

    async def missed(self, caller: Principal, request: RequestInfo, target: Target) -> None:
        """Record a look-up that found nothing in the caller's tenant, committed on return."""
        tenant_id = _home_of(caller)
        event = AccessMissed(
            tenant_id=tenant_id,
            actor=caller.actor,
            email=caller.email,
            request=outbox.http_request(request),
            target=target,
        )
        await self._teller.tell(event)

    def read(
        self,
        caller: Principal,
        request: RequestInfo,
        status: int,
        targets: tuple[Target, ...],
        *,
        of: UUID | None = None,
    ) -> None:
        """Note a read (of the tenant `of`, unless of the caller's own); it is written with others within
        `_FLUSH_SECONDS`. A tenant learns an operator's id, and not their address."""
        now, tenant_id = clock.now(), of or _home_of(caller)
        if len(self._reads) >= _ROOM:
            self._lose(tenant_id, now)
            return
        record = AccessRecord(
            at=now,
            actor=caller.actor,
            email=caller.email if of is None else None,
            request=outbox.http_request(request),
            status=status,
            targets=targets,
            trace_id=telemetry.current_trace_id() or None,
        )
        self._reads.append((tenant_id, record))
        self._noted.set()

    def _lose(self, tenant_id: UUID, at: datetime) -> None:
        """A read less, which the next flush says."""
        count, since, until = self._lost.get(tenant_id, (0, at, at))
        self._lost[tenant_id] = (count + 1, min(since, at), max(until, at))
        _reads_lost.add(1)

    async def keep_flushing(self) -> None:
        """Write noted reads until cancelled, then what is left."""
        clock = asyncio.get_running_loop().time
        least, most = _FLUSH_SECONDS
        pause = least
        try:
            while True:
                await self._noted.wait()
                await asyncio.sleep(pause)
                began = clock()
                written = await _to_its_end(self.flush())
                pause = min(max((clock() - began) / _FLUSH_SHARE, least), most) if written else most
        finally:
            await self.flush()

    async def flush(self) -> bool:
        """Write what is noted; whether that went well. What waits for the database (or is cut off) stays."""
        taken, self._reads = self._reads, deque()
        self._noted.clear()
        tenants: defaultdict[UUID, list[AccessRecord]] = defaultdict(list)
        for tenant_id, record in taken:
            tenants[tenant_id].append(record)
        try:
            await self._write_all(tenants)
            await self._write_gaps()
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("reads not recorded yet", extra={"fields": {"error": type(error).__name__}})
            return False
        else:
            return True
        finally:
            self._reads.extendleft(
                (tenant_id, record) for tenant_id in tenants for record in reversed(tenants[tenant_id])
            )
            if self._reads:
                self._noted.set()

    async def _write_all(self, tenants: Mapping[UUID, list[AccessRecord]]) -> None:
        """Each tenant's, whatever becomes of the others'.

        Raises:
            Exception: what went wrong with the first that could not be written.
        """
        failures: list[Exception] = []
        for tenant_id, records in tenants.items():
            try:
                await self._write(tenant_id, records)
            except Exception as error:
                if is_unavailable(error):
                    raise
                failures.append(error)
        if failures:
            raise failures[0]

    async def _write(self, tenant_id: UUID, records: list[AccessRecord]) -> None:
        """Takes from `records` what is written, and what never can be: smaller batches tell which it is.

        Raises:
            Exception: `_BAD_IN_A_ROW` of them could not be; so it is hardly they.
        """
        size, bad = _BATCH, 0
        while records:
            batch = tuple(records[:size])
            try:
                await self._teller.tell(AccessRecorded(tenant_id=tenant_id, records=batch))
                size, bad = min(2 * size, _BATCH), 0
            except Exception as error:
                bad += len(batch) == 1
                if is_unavailable(error) or bad == _BAD_IN_A_ROW:
                    raise
                if len(batch) > 1:
                    size = len(batch) // 2
                    continue
                log.exception("read not recorded", extra={"fields": {"tenant_id": tenant_key(tenant_id)}})
                self._lose(tenant_id, records[0].at)
            del records[: len(batch)]

    async def _write_gaps(self) -> None:
        while self._lost:
            tenant_id, (count, since, until) = next(iter(self._lost.items()))
            await self._teller.tell(AccessGap(tenant_id=tenant_id, count=count, since=since, until=until))
            more = self._lost.pop(tenant_id)
            if more[0] > count:
                self._lost[tenant_id] = (more[0] - count, until, more[2])


async def _to_its_end(work: Coroutine[None, None, ResultT]) -> ResultT:
    """Await it; when cancelled, afterwards. What it was writing must not be taken for unwritten."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _home_of(caller: Principal | None) -> UUID:
    """Whose log tells of a caller: their tenant's; that of the platform for operators and the unknown."""
    return caller.tenant_id if isinstance(caller, UserContext) else PLATFORM_TENANT
