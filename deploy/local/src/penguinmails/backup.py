"""A copy of all that a stack must not lose, taken while it runs, and a new stack made of it.

The databases are copied together, at one moment of all five: five dumps would be of five moments, and a
service could then know of things that their owner has not done yet. The broker's log is not part of it:
restored relays publish their history into the new one.
"""

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from penguinmails import binaries, credentials, postgres, privileges
from penguinmails.config import LOOPBACK
from penguinmails.home import Home
from penguinmails.stack import Stack

DATABASES = "postgres"
KEYS = "secrets.json"
FILES = "files"
_SETTINGS = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")
_RECOVERY = ("recovery.signal", "standby.signal")
"""`pg_verifybackup` passes over them; the server would do as the settings beside them say."""


class BackupFailed(Exception):
    """Nothing usable was written, or nothing was changed."""


def back_up(stack: Stack, target: Path) -> None:
    """Write databases, keys and files below `target`, which only we may read.

    Raises:
        BackupFailed: `target` is not empty or not ours, or the copy does not agree with its own list.
    """
    if target.exists() and any(target.iterdir()):
        raise BackupFailed(f"{target} is not empty")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if target.stat().st_uid != os.geteuid():
        raise BackupFailed(f"{target} belongs to somebody else, who could change what is written there")
    target.chmod(0o700)
    address = ["--host", LOOPBACK, "--port", str(stack.config.ports["postgres"]), "--username", "postgres"]
    password = {**os.environ, "PGPASSWORD": stack.config.credentials.passwords["postgres"]}
    options = ["--pgdata", str(target / DATABASES), "--checkpoint=fast", "--wal-method=stream"]
    _run("pg_basebackup", *address, *options, "--no-password", environment=password)
    shutil.copy2(stack.home.secrets, target / KEYS)
    shutil.copytree(stack.home.files, target / FILES)
    verify(target)


def verify(source: Path) -> None:
    """Raises BackupFailed unless all is there, and every file of the databases as it was written."""
    for name, is_there in ((KEYS, Path.is_file), (FILES, Path.is_dir), (DATABASES, Path.is_dir)):
        if not is_there(source / name):
            raise BackupFailed(f"{source} is no backup: {name} is missing")
    for path in source.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BackupFailed(f"{path} is neither a file nor a folder, and nothing of a backup's")
    try:
        credentials.load_whole(source / KEYS)
    except ValueError as error:
        raise BackupFailed(f"{source / KEYS} is not a stack's: {error}") from error
    _run("pg_verifybackup", "--quiet", str(source / DATABASES))


def restore(source: Path, home: Home) -> None:
    """Make the state of an empty stack out of a backup; `penguinmails up` then starts it.

    The server's settings are those of a new stack, whatever the backup says: some of them run programs.

    Raises:
        BackupFailed: the backup is not whole or not one of ours, or the stack has data.
    """
    if home.postgres_data.exists() or home.secrets.exists():
        raise BackupFailed(f"{home.root} has data: `penguinmails reset` first, or another PENGUINMAILS_HOME")
    verify(source)
    home.make()
    try:
        _copy(source, home)
    except BaseException:
        shutil.rmtree(home.postgres_data, ignore_errors=True)
        home.secrets.unlink(missing_ok=True)
        raise


def _copy(source: Path, home: Home) -> None:
    shutil.copytree(source / FILES, home.files, dirs_exist_ok=True, symlinks=True)
    shutil.copytree(source / DATABASES, home.postgres_data, symlinks=True)
    home.postgres_data.chmod(0o700)
    _take_new_settings(home.postgres_data)
    user = privileges.server_user(home.postgres_data)
    if user is not None:
        for path in (home.postgres_data, *home.postgres_data.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    shutil.copy2(source / KEYS, home.secrets, follow_symlinks=False)


def _take_new_settings(data: Path) -> None:
    new = data.with_name("new")
    try:
        postgres.make_cluster(new, secrets.token_hex(24))
        for name in _SETTINGS:
            shutil.copyfile(new / name, data / name)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    for name in _RECOVERY:
        (data / name).unlink(missing_ok=True)


def _run(program: str, *words: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [binaries.postgres(program), *words], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise BackupFailed(f"{program}: {done.stderr.strip()[-2000:]}")
