"""Puts the parts of exports together, gives up on those that lack one, and erases archives that are over.

What is done with files is done without a transaction, and may be done twice: whoever is killed leaves an
export that comes due again.
"""

import asyncio
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from datetime import timedelta
from typing import IO
from uuid import UUID

from common.context import SystemContext
from common.db.lookup import database_time
from common.db.session import Database
from common.exporting import export_folder, part_path
from common.files import Files
from common.lease import kept
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.export import queries, service
from tenants.export.rules import PARTS
from tenants.models import ExportRow

_AT_A_TIME = 2
_POLL_SECONDS = 0.5
_LEASE = timedelta(minutes=5)
_SPOOL_BYTES = 1_000_000
_PIECE = 1 << 20


async def finish_exports(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    await Archivist(kernel.database, Files(kernel.settings.files_url)).rounds.run()


class Archivist:
    """Works on the exports of all tenants."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files
        self.rounds = Rounds(
            "exports", "tenants", database, queries.list_due_tenants, self.work_on, _AT_A_TIME, _POLL_SECONDS
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Take the next step with one export of the tenant, if it is due."""
        context = SystemContext(tenant_id, "job", "tenants")
        async with self._database.tenant(context) as session:
            row = await queries.claim_due(session)
            if row is None:
                return
            complete = set(await queries.list_parts(session, row.job_id)) >= PARTS
            row.next_step_at = await database_time(session) + _LEASE
            await session.commit()
        if row.status in ("done", "failed"):
            await self._expire(context, row)
        elif complete:
            await self._complete(context, row)
        else:
            await self._give_up(context, row)

    async def _renew(self, context: SystemContext, row: ExportRow) -> bool:
        """Have the claim for longer; False when it is somebody else's by now. One that was erased is still
        ours: whoever writes its files has to erase them."""
        async with self._database.tenant(context) as session:
            current = await queries.lock_export(session, row.job_id)
            if current is None:
                return True
            if current.next_step_at != row.next_step_at:
                return False
            current.next_step_at = row.next_step_at = await database_time(session) + _LEASE
            await session.commit()
        return True

    async def _complete(self, context: SystemContext, row: ExportRow) -> None:
        async with kept(lambda: self._renew(context, row), _LEASE.total_seconds() / 3):
            lost = await self._write_archive(row)
        if lost:
            await self._give_up(context, row, lost)
            return
        async with self._database.tenant(context) as session:
            current = await queries.lock_export(session, row.job_id)
            if current is not None and current.status == "running":
                await service.finish(session, current)
            await session.commit()
        if current is None:  # the tenant was erased meanwhile
            await self._files.erase_below(export_folder(row.tenant_id, row.job_id))

    async def _write_archive(self, row: ExportRow) -> list[str]:
        """Write the archive, or nothing when a part is gone or broken; whose that is."""
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as whole:
            lost = await self._put_together(whole, row)
            if not lost:
                whole.seek(0)
                await self._files.write(archive_path(row.tenant_id, row.job_id), whole)
        return lost

    async def _put_together(self, whole: IO[bytes], row: ExportRow) -> list[str]:
        """Write all parts into one archive; the services whose part is gone or broken."""
        lost: list[str] = []
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(PARTS):
                try:
                    await self._add(archive, part_path(row.tenant_id, row.job_id, name))
                except (FileNotFoundError, zipfile.BadZipFile):
                    lost.append(name)
        return lost

    async def _add(self, archive: zipfile.ZipFile, path: str) -> None:
        """Copy the files of a part into the archive; packing takes its time, so not on the event loop."""
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as stored:
            async for piece in self._files.read(path):
                await asyncio.to_thread(stored.write, piece)
            await asyncio.to_thread(_append, archive, stored)

    async def _give_up(self, context: SystemContext, row: ExportRow, lost: Iterable[str] = ()) -> None:
        async with self._database.tenant(context) as session:
            current = await queries.lock_export(session, row.job_id)
            if current is not None and current.status in ("queued", "running"):
                await service.give_up(session, current, lost)
            await session.commit()
        await self._files.erase_below(export_folder(row.tenant_id, row.job_id))

    async def _expire(self, context: SystemContext, row: ExportRow) -> None:
        await self._files.erase_below(export_folder(row.tenant_id, row.job_id))
        async with self._database.tenant(context) as session:
            current = await queries.lock_export(session, row.job_id)
            if current is not None:
                current.next_step_at = service.NEVER
            await session.commit()


def archive_path(tenant_id: UUID, job_id: UUID) -> str:
    """Where the archive of an export is."""
    return f"{export_folder(tenant_id, job_id)}/archive.zip"


def _append(archive: zipfile.ZipFile, stored: IO[bytes]) -> None:
    with zipfile.ZipFile(stored) as part:
        for name in part.namelist():
            with part.open(name) as source, archive.open(name, "w") as target:
                shutil.copyfileobj(source, target, _PIECE)
