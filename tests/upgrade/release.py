"""The release before: which it is, and its code with an environment of its own."""

import os
import shutil
import subprocess
from pathlib import Path

from penguinmails.home import REPOSITORY

RELEASED = Path(__file__).with_name("released")
"""Names the commit that was released last; a release moves it, together with `docs/*.released.json`."""
_CACHE = REPOSITORY / ".cache" / "release"


class HistoryMissing(Exception):
    """The release is not in this clone."""


def find(name: str) -> str:
    """The commit that `name` stands for; nothing: the release before.

    Raises:
        HistoryMissing: there is no such commit here.
    """
    wanted = name or RELEASED.read_text(encoding="utf-8").strip()
    asked = ["git", "rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}"]
    found = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if found.returncode:
        raise HistoryMissing(wanted)
    return found.stdout.strip()


def install(commit: str) -> Path:
    """The folder with the commit's code, and in its `.venv` what its own lock names. Only one is kept."""
    folder = _CACHE / commit
    if not (folder / ".venv" / ".synced").exists():
        shutil.rmtree(_CACHE, ignore_errors=True)
        folder.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, capture_output=True, check=True)
        subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
        subprocess.run(["make", ".venv/.synced"], cwd=folder, env=surroundings(), check=True)
    return folder


def surroundings() -> dict[str, str]:
    """Our environment without what would lead another release's programs to our own code."""
    ours = {"VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "PYTHONDONTWRITEBYTECODE"}
    return {name: value for name, value in os.environ.items() if name not in ours}
