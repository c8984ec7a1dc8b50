"""Files in a folder: whole, in pieces, and erased without touching a neighbour's."""

import io
import os
from pathlib import Path

import pytest

from common.files import Files, folder_of
from common.ids import new_id


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files((tmp_path / "files").as_uri())


async def contents(files: Files, path: str) -> bytes:
    return b"".join([piece async for piece in files.read(path)])


@pytest.mark.parametrize("size", [0, 10, 12_000_000])
async def test_what_was_written_is_read(files: Files, size: int) -> None:
    written = os.urandom(size)
    await files.write("a/b", io.BytesIO(written))
    assert await contents(files, "a/b") == written
    assert await files.exists("a/b")


async def test_what_was_never_written_is_missing(files: Files) -> None:
    assert not await files.exists("a/b")
    assert await files.list_below("a") == []
    assert await files.erase_below("a") == 0
    with pytest.raises(FileNotFoundError):
        await contents(files, "a/b")


async def test_a_folder_is_erased_and_not_one_whose_name_begins_alike(files: Files) -> None:
    mine = folder_of(new_id())
    for path in (f"{mine}/exports/1", f"{mine}/2", f"{mine}x/3", f"{folder_of(new_id())}/4"):
        await files.write(path, io.BytesIO(b"contents"))
    assert await files.erase_below(mine) == 2
    assert await files.list_below(mine) == []
    assert len(await files.list_below("tenants")) == 2
