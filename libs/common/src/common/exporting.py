"""Writes one service's part of a tenant's export: a ZIP of JSON Lines, one file for each table.

What there is to export is read from the catalog: every table of the service that its tenants' rows are in,
every column. Left out are bytes, what looks like a secret by its name, and what the service lists with a
reason.
"""

import asyncio
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from uuid import UUID

from sqlalchemy import text

from common.bus import outbox
from common.context import SystemContext
from common.contracts.tenants import ExportedRows, TenantPartExported
from common.db.session import TenantSession
from common.files import Files, folder_of
from common.ids import Kind, to_text
from common.lease import kept
from common.web.kernel import Kernel
from common.work import Rounds

SECRET = re.compile(r"(^|_)(claim|hash|key|password|private|salt|secret|token|traceparent)($|_)")
"""Names of columns that never leave."""
_NO_SECRETS = frozenset({"password_set_at"})
_AT_A_TIME = 2
_LEASE_SECONDS = 60.0
_FETCH = 500
_SPOOL_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Exporting:
    """`left_out`: tables of the service that are not part of an export, with the reason."""

    left_out: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Resource:
    """A table in an export."""

    table: str
    columns: Sequence[str]

    @property
    def name(self) -> str:
        return self.table.partition(".")[2]


_TABLES = text("""
SELECT n.nspname || '.' || c.relname AS name,
    ARRAY(SELECT a.attname::text FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid <> 'bytea'::regtype
          ORDER BY a.attnum) AS columns
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = :schema
  AND EXISTS (SELECT FROM pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
ORDER BY name
""")
_DUE = text("SELECT tenancy.due_exports(:batch)")
_CLAIM = text("""
UPDATE tenancy.exports SET next_attempt_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE tenant_id = :tenant AND job_id = (
    SELECT job_id FROM tenancy.exports
    WHERE tenant_id = :tenant AND written_at IS NULL AND next_attempt_at <= clock_timestamp()
    ORDER BY job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING job_id, next_attempt_at AS until
""")
_RENEW = text("""
UPDATE tenancy.exports SET next_attempt_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE tenant_id = :tenant AND job_id = :job AND next_attempt_at = :until
RETURNING next_attempt_at
""")
_DONE = text("""
UPDATE tenancy.exports SET written_at = clock_timestamp()
WHERE tenant_id = :tenant AND job_id = :job AND written_at IS NULL RETURNING version
""")
_THERE = text("SELECT true FROM tenancy.exports WHERE tenant_id = :tenant AND job_id = :job")


@dataclass(slots=True)
class _Claim:
    """Ours `until` then; the moment is also the proof that nobody else has claimed it since."""

    job_id: UUID
    until: datetime


class Exporter:
    """Writes the parts of one service."""

    def __init__(self, kernel: Kernel, exporting: Exporting) -> None:
        self._kernel = kernel
        self._exporting = exporting
        self._files = Files(kernel.settings.files_url)
        self.rounds = Rounds(
            "export", kernel.service, kernel.database, _list_due, self.work_on, at_a_time=_AT_A_TIME, poll=1.0
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Write the part of one export; whoever is killed leaves a claim that runs out, and nothing half."""
        context = SystemContext(tenant_id, "job", self._kernel.service)
        async with self._kernel.database.tenant(context) as session:
            claim = await self._claim(session)
            await session.commit()
        if claim is None:
            return
        async with kept(lambda: self._renew(context, claim), _LEASE_SECONDS / 3):
            counts = await self._store(context, claim.job_id)
        async with self._kernel.database.tenant(context) as session:
            there = await self._tell(session, claim.job_id, counts)
            await session.commit()
        if not there:  # the tenant was erased meanwhile
            await self._files.erase_below(export_folder(tenant_id, claim.job_id))

    async def _claim(self, session: TenantSession) -> "_Claim | None":
        values = {"tenant": session.tenant_id, "seconds": _LEASE_SECONDS}
        row = (await session.execute(_CLAIM, values)).first()
        return None if row is None else _Claim(row.job_id, row.until)

    async def _renew(self, context: SystemContext, claim: "_Claim") -> bool:
        """Have the claim for longer; False when it is somebody else's by now. One that was erased is still
        ours: whoever writes its file has to erase that."""
        values = {"tenant": context.tenant_id, "job": claim.job_id}
        renewal = {**values, "seconds": _LEASE_SECONDS, "until": claim.until}
        async with self._kernel.database.tenant(context) as session:
            until: datetime | None = await session.scalar(_RENEW, renewal)
            stolen = until is None and (await session.execute(_THERE, values)).first() is not None
            await session.commit()
        claim.until = until or claim.until
        return not stolen

    async def _store(self, context: SystemContext, job_id: UUID) -> Mapping[str, int]:
        """Write the part as of one moment; how many rows of each resource are in it."""
        path = part_path(context.tenant_id, job_id, self._kernel.service)
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as part:
            async with self._kernel.database.tenant(context, of_one_moment=True) as session:
                counts = await self._write(session, part)
            part.seek(0)
            await self._files.write(path, part)
        return counts

    async def _write(self, session: TenantSession, part: IO[bytes]) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for resource in await list_resources(session, self._kernel.service, self._exporting):
                with archive.open(f"{self._kernel.service}/{resource.name}.jsonl", "w") as lines:
                    counts[resource.name] = await _copy(session, resource, lines)
        return counts

    async def _tell(self, session: TenantSession, job_id: UUID, counts: Mapping[str, int]) -> bool:
        """Say that the part is there, once; False when the export is not wanted any more."""
        values = {"tenant": session.tenant_id, "job": job_id}
        version: int | None = await session.scalar(_DONE, values)
        if version is None:
            return (await session.execute(_THERE, values)).first() is not None
        rows = tuple(ExportedRows(resource=name, rows=count) for name, count in counts.items())
        about: dict[str, Any] = {"tenant_id": session.tenant_id, "job_id": job_id, "version": version}
        event = TenantPartExported(**about, service=self._kernel.service, resources=rows)
        await outbox.emit(session, event)
        return True


async def list_resources(session: TenantSession, service: str, exporting: Exporting) -> list[Resource]:
    """The tables of the service's part, with the columns that leave."""
    return [
        Resource(row.name, [column for column in row.columns if not is_secret(column)])
        for row in await session.execute(_TABLES, {"schema": service})
        if row.name not in exporting.left_out
    ]


def is_secret(column: str) -> bool:
    """Whether a column stays here because of its name."""
    return SECRET.search(column) is not None and column not in _NO_SECRETS


async def _copy(session: TenantSession, resource: Resource, lines: IO[bytes]) -> int:
    """Write the tenant's rows of one table, fetched in pieces; they are packed beside the event loop."""
    columns = ", ".join(f'"{column}"' for column in resource.columns)
    statement = text(
        f"SELECT to_json(r)::text FROM (SELECT {columns} FROM {resource.table} "  # noqa: S608 - names of the catalog
        "WHERE tenant_id = :tenant) AS r"
    )
    count = 0
    found = await session.stream_scalars(
        statement, {"tenant": session.tenant_id}, execution_options={"yield_per": _FETCH}
    )
    async for rows in found.partitions():
        await asyncio.to_thread(lines.write, "".join(f"{row}\n" for row in rows).encode())
        count += len(rows)
    return count


def export_folder(tenant_id: UUID, job_id: UUID) -> str:
    """Where the files of one export are."""
    return f"{folder_of(tenant_id)}/exports/{to_text(Kind.JOB, job_id)}"


def part_path(tenant_id: UUID, job_id: UUID, service: str) -> str:
    """Where a service writes its part."""
    return f"{export_folder(tenant_id, job_id)}/{service}.zip"


async def _list_due(session: TenantSession, batch: int) -> Sequence[UUID]:
    return (await session.scalars(_DUE, {"batch": batch})).all()
