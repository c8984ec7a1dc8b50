"""A copy of all that a stack must not lose, taken while it runs, and a new stack made of it.

The databases are copied together, at one moment of all five: five dumps would be of five moments, and a
service could then know of things that their owner has not done yet. The broker's log is not part of it:
restored relays publish their history into the new one.
"""

import os
import shutil
import subprocess
from pathlib import Path

from penguinmails import binaries, privileges
from penguinmails.config import LOOPBACK
from penguinmails.home import Home
from penguinmails.stack import Stack

DATABASES = "postgres"
KEYS = "secrets.json"
FILES = "files"


class BackupFailed(Exception):
    """Nothing usable was written, or nothing was changed."""


def back_up(stack: Stack, target: Path) -> None:
    """Write databases, keys and files below `target`, which only we may read.

    Raises:
        BackupFailed: `target` is not empty, or the copy does not agree with its own list.
    """
    if target.exists() and any(target.iterdir()):
        raise BackupFailed(f"{target} is not empty")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.chmod(0o700)
    address = ["--host", LOOPBACK, "--port", str(stack.config.ports["postgres"]), "--username", "postgres"]
    password = {**os.environ, "PGPASSWORD": stack.config.credentials.passwords["postgres"]}
    options = ["--pgdata", str(target / DATABASES), "--checkpoint=fast", "--wal-method=stream"]
    _run("pg_basebackup", *address, *options, "--no-password", environment=password)
    shutil.copy2(stack.home.secrets, target / KEYS)
    shutil.copytree(stack.home.files, target / FILES)
    verify(target)


def verify(source: Path) -> None:
    """Raises BackupFailed unless every file is as it was written."""
    if not (source / KEYS).is_file():
        raise BackupFailed(f"{source} is no backup: {KEYS} is missing")
    _run("pg_verifybackup", "--quiet", str(source / DATABASES))


def restore(source: Path, home: Home) -> None:
    """Make the state of an empty stack out of a backup; `penguinmails up` then starts it.

    Raises:
        BackupFailed: the backup is not whole, or the stack has data.
    """
    if home.postgres_data.exists() or home.secrets.exists():
        raise BackupFailed(f"{home.root} has data: `penguinmails reset` first, or another PENGUINMAILS_HOME")
    verify(source)
    home.make()
    shutil.copy2(source / KEYS, home.secrets)
    shutil.copytree(source / FILES, home.files, dirs_exist_ok=True)
    shutil.copytree(source / DATABASES, home.postgres_data)
    home.postgres_data.chmod(0o700)
    user = privileges.server_user(home.postgres_data)
    if user is not None:
        for path in (home.postgres_data, *home.postgres_data.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def _run(program: str, *words: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [binaries.postgres(program), *words], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise BackupFailed(f"{program}: {done.stderr.strip()[-2000:]}")
