"""Files, in a local folder or in object storage: the one place that knows which (`FILES_URL`).

Everything of a tenant lies below its own folder, so that it can be erased whole.
"""

from collections.abc import AsyncIterator
from typing import IO
from uuid import UUID

from obstore import delete_async, get_async, put_async
from obstore.store import LocalStore, ObjectStore, from_url

from common.ids import Kind, to_text


class Files:
    """Where files are kept."""

    def __init__(self, url: str) -> None:
        self._store: ObjectStore = (
            LocalStore.from_url(url, mkdir=True, automatic_cleanup=True)
            if url.startswith("file:")
            else from_url(url)
        )

    async def write(self, path: str, contents: IO[bytes]) -> None:
        """Store a file, in pieces; the old one of this name is seen until the new one is whole."""
        await put_async(self._store, path, contents)

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """The pieces of a file.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        found = await get_async(self._store, path)
        async for piece in found.stream():
            yield bytes(piece)

    async def exists(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return path in await self.list_below(path.rpartition("/")[0])

    async def list_below(self, folder: str) -> list[str]:
        """The files in a folder and below."""
        found: list[str] = []
        async for batch in self._store.list(folder):
            found += [entry["path"] for entry in batch]
        return found

    async def erase_below(self, folder: str) -> int:
        """Erase a folder and all that is in it; how many files that were."""
        paths = await self.list_below(folder)
        if paths:
            await delete_async(self._store, paths)
        return len(paths)


def folder_of(tenant_id: UUID) -> str:
    """Where a tenant's files are."""
    return f"tenants/{to_text(Kind.TENANT, tenant_id)}"
