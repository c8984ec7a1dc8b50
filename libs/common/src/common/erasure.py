"""Erases a deleted tenant from one service's database, batch by batch, and tells how many rows that were.

What there is to erase is read from the catalog, so a table cannot be forgotten: each one is emptied, or is
on the service's list of what it keeps or empties in its own way, or the job fails. A batch and its count are
one transaction; whoever is killed has lost nothing, and the next attempt goes on from there.
"""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Literal
from uuid import UUID

import asyncpg
from sqlalchemy import Row, text

from common.bus import outbox
from common.context import SystemContext
from common.contracts.tenants import ErasedRows, KeptRows, TenantErased
from common.db.session import TenantSession
from common.files import Files, folder_of
from common.web.kernel import Kernel
from common.work import Rounds

log = logging.getLogger(__name__)

BATCH = 500
"""Rows of one transaction."""
_AT_A_TIME = 2
_WAIT_SECONDS = 1
_REST_SECONDS = 5.0
"""How long a tenant whose erasure failed stands back, so that it keeps no other waiting."""

State = Literal["more", "waiting", "empty"]
Progress = MutableMapping[str, Any]
Eraser = Callable[[TenantSession, Progress], Awaitable[Mapping[str, int]]]
"""A service's own way with tables it may not simply empty: one bounded batch, told as rows by table (nothing:
it is done). What it puts into the progress it gets again the next time."""

KERNEL_KEEPS = {
    "tenancy.tenants": "the id, that it is deleted and the version: late events must not make it again",
    "tenancy.erasures": "how many rows of which tables were erased when; no contents",
}
_LEAVING = {
    "tenancy.outbox": "events on their way out",
    "tenancy.outbox_history": "runs out by itself after the retention of events",
}
"""Holds the tenant's events until they are past their retention; the certificate waits for that."""


@dataclass(frozen=True, slots=True)
class Erasing:
    """What a service does when a tenant is deleted, beyond emptying its tables.

    `kept`: table to reason. `erasers` empty the tables of `covered`, after all others are empty.
    """

    kept: Mapping[str, str] = field(default_factory=dict[str, str])
    covered: frozenset[str] = frozenset()
    erasers: Sequence[Eraser] = ()


class TableForgotten(RuntimeError):
    """A table holds tenants' rows, and nobody has said how they are erased. The message names it."""


# Everything with a tenant in it, and whom each table refers to.
_TABLES = text("""
SELECT n.nspname || '.' || c.relname AS name, has_table_privilege(c.oid, 'DELETE') AS erasable,
    ARRAY(SELECT pn.nspname || '.' || p.relname FROM pg_constraint AS k
          JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
          WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid) AS refers_to
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND EXISTS (SELECT FROM pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
ORDER BY name
""")
_DUE = text("SELECT tenancy.due_erasures(:batch)")
_LOCK = text("""
SELECT noted_at, fenced_at, counts, progress FROM tenancy.erasures
WHERE tenant_id = :tenant AND erased_at IS NULL AND next_step_at <= clock_timestamp()
FOR UPDATE SKIP LOCKED
""")
_FENCE = text("UPDATE tenancy.erasures SET fenced_at = clock_timestamp() WHERE tenant_id = :tenant")
# Who began before the fence may not have seen that the tenant is deleted, and may still write.
_STRAGGLERS = text("""
SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND xact_start < :fence)
""")
_WAIT = text("""
UPDATE tenancy.erasures SET next_step_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE tenant_id = :tenant
""")
_NOTE = text("""
UPDATE tenancy.erasures SET counts = CAST(:counts AS jsonb), progress = CAST(:progress AS jsonb)
WHERE tenant_id = :tenant
""")
_FINISH = text("UPDATE tenancy.erasures SET erased_at = clock_timestamp() WHERE tenant_id = :tenant")
_VERSION = text("SELECT version FROM tenancy.tenants WHERE tenant_id = :tenant")
_PARKED = "DELETE FROM tenancy.outbox WHERE tenant_id = $1 AND parked_at IS NOT NULL"


class Undertaker:
    """Works on the deleted tenants of one service."""

    def __init__(self, kernel: Kernel, erasing: Erasing, batch: int = BATCH) -> None:
        self._kernel = kernel
        self._erasing = erasing
        self._batch = batch
        self._files = Files(kernel.settings.files_url)
        self._left_out: dict[UUID, float] = {}
        self.rounds = Rounds(
            "erasure",
            kernel.service,
            kernel.database,
            self.list_due,
            self.work_on,
            at_a_time=_AT_A_TIME,
            poll=1.0,
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Erase until all is done or something must be waited for; files after the rows that lead to them."""
        self._left_out[tenant_id] = math.inf
        try:
            await self._erase(tenant_id)
        except Exception:
            self._left_out[tenant_id] = asyncio.get_running_loop().time() + _REST_SECONDS
            raise
        del self._left_out[tenant_id]

    async def list_due(self, session: TenantSession, batch: int) -> Sequence[UUID]:
        """Deleted tenants that are not erased yet, without those under way and those that failed just now."""
        now = asyncio.get_running_loop().time()
        self._left_out = {tenant_id: until for tenant_id, until in self._left_out.items() if until > now}
        found = (await session.scalars(_DUE, {"batch": batch + len(self._left_out)})).all()
        return [tenant_id for tenant_id in found if tenant_id not in self._left_out][:batch]

    async def _erase(self, tenant_id: UUID) -> None:
        await self._drop_parked(tenant_id)
        state: State = "more"
        while state == "more":
            state = await self._step(tenant_id)
        if state == "empty":
            await self._files.erase_below(folder_of(tenant_id))
            await self._step(tenant_id, last=True)

    async def _step(self, tenant_id: UUID, *, last: bool = False) -> State:
        """One transaction. The last one tells that all is done, if it still is."""
        context = SystemContext(tenant_id, "job", self._kernel.service)
        async with self._kernel.database.tenant(context) as session:
            job = (await session.execute(_LOCK, {"tenant": tenant_id})).one_or_none()
            if job is None:
                return "waiting"
            state = await self._advance(session, job, last)
            await session.commit()
            return state

    async def _advance(self, session: TenantSession, job: Row[Any], last: bool) -> State:
        if job.fenced_at is None:
            await session.execute(_FENCE, {"tenant": session.tenant_id})
            return "more"
        if await session.scalar(_STRAGGLERS, {"fence": job.fenced_at}):
            await session.execute(_WAIT, {"tenant": session.tenant_id, "seconds": _WAIT_SECONDS})
            return "waiting"
        erased = await self._erase_batch(session, job.progress)
        if not erased:
            if last:
                await self._tell(session, job.counts)
            return "empty"
        counts = {name: job.counts.get(name, 0) + erased.get(name, 0) for name in {**job.counts, **erased}}
        values = {"counts": json.dumps(counts), "progress": json.dumps(job.progress)}
        await session.execute(_NOTE, {"tenant": session.tenant_id, **values})
        return "more"

    async def _erase_batch(self, session: TenantSession, progress: Progress) -> Mapping[str, int]:
        """One batch of the first table that has any; nothing: all are empty."""
        for name in await plan(session, self._erasing):
            rows = await self._delete(session, name)
            if rows:
                return {name: rows}
        for eraser in self._erasing.erasers:
            if erased := await eraser(session, progress):
                return erased
        return {}

    async def _delete(self, session: TenantSession, name: str) -> int:
        statement = text(
            f"DELETE FROM {name} WHERE tenant_id = :tenant AND ctid = ANY (ARRAY("  # noqa: S608 - a catalog name
            f"SELECT ctid FROM {name} WHERE tenant_id = :tenant LIMIT :batch))"
        )
        result = await session.execute(statement, {"tenant": session.tenant_id, "batch": self._batch})
        return result.rowcount  # type: ignore[attr-defined, no-any-return]

    async def _tell(self, session: TenantSession, counts: Mapping[str, int]) -> None:
        tenant_id = session.tenant_id
        await session.execute(_FINISH, {"tenant": tenant_id})
        kept = {**KERNEL_KEEPS, **self._erasing.kept}
        event = TenantErased(
            tenant_id=tenant_id,
            version=(await session.execute(_VERSION, {"tenant": tenant_id})).scalar_one(),
            service=self._kernel.service,
            erased=tuple(ErasedRows(table=name, rows=rows) for name, rows in sorted(counts.items())),
            kept=tuple(KeptRows(what=what, why=why) for what, why in sorted(kept.items())),
        )
        await outbox.emit(session, event)
        log.info("tenant erased", extra={"fields": {"rows": sum(counts.values())}})

    async def _drop_parked(self, tenant_id: UUID) -> None:
        """Events that can never be sent stay for good; only the relay's role may take them away."""
        connection = await asyncpg.connect(self._kernel.settings.relay_database_url, timeout=5)
        try:
            await connection.execute(_PARKED, tenant_id)
        finally:
            await connection.close()


async def plan(session: TenantSession, erasing: Erasing) -> Sequence[str]:
    """The tables to empty, each before those it refers to.

    Raises:
        TableForgotten: nobody has said what becomes of a table.
    """
    spared = {*KERNEL_KEEPS, *_LEAVING, *erasing.kept, *erasing.covered}
    tables = [row for row in await session.execute(_TABLES) if row.name not in spared]
    forgotten = [row.name for row in tables if not row.erasable]
    if forgotten:
        raise TableForgotten(", ".join(forgotten))
    referred: dict[str, set[str]] = {row.name: set[str]() for row in tables}
    for row in tables:
        for name in referred.keys() & set(row.refers_to):
            referred[name].add(row.name)
    return list(TopologicalSorter(referred).static_order())
