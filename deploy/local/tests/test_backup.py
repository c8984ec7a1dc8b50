"""Backups that somebody has made or changed: refused before anything is."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from penguinmails import backup, credentials, postgres
from penguinmails.home import Home


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A backup but for its databases, which are looked at last."""
    source = tmp_path / "copy"
    for name in (backup.DATABASES, backup.FILES):
        (source / name).mkdir(parents=True)
    credentials.load_or_make(source / backup.KEYS)
    return source


def refused(copy: Path, why: str) -> None:
    home = Home(copy.with_name("other"))
    with pytest.raises(backup.BackupFailed, match=why):
        backup.restore(copy, home)
    assert not home.root.exists()


def test_databases_are_looked_at_when_all_else_is_there(copy: Path) -> None:
    refused(copy, "pg_verifybackup")


@pytest.mark.parametrize("name", [backup.DATABASES, backup.FILES])
def test_a_folder_that_is_missing_is_named(copy: Path, name: str) -> None:
    (copy / name).rmdir()
    refused(copy, f"{name} is missing")


@pytest.mark.parametrize("place", ["files/x", "secrets.json", "postgres/pg_tblspc"])
def test_links_are_not_followed(copy: Path, place: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    if place == backup.KEYS:
        (copy / place).rename(elsewhere)
    elsewhere.touch()
    (copy / place).symlink_to(elsewhere)
    refused(copy, "neither a file nor a folder")


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", "\xff", "more"])
def test_keys_of_nothing_are_refused(copy: Path, content: str) -> None:
    (copy / backup.KEYS).write_text(content, encoding="latin-1")
    refused(copy, "not a stack's")


@pytest.mark.parametrize("value", [None, "", 7])
def test_keys_that_are_missing_are_refused(copy: Path, value: object) -> None:
    for field, names in asdict(credentials.load(copy / backup.KEYS)).items():
        whole = (copy / backup.KEYS).read_text()
        changed = json.loads(whole)
        changed[field][next(iter(names))] = value
        (copy / backup.KEYS).write_text(json.dumps(changed))
        refused(copy, f"{field} of {next(iter(names))} missing")
        (copy / backup.KEYS).write_text(whole)


def test_settings_are_a_new_stacks(tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some run programs, and a backup's own list of files does not have all that the server reads."""
    data = copy / backup.DATABASES
    data.rmdir()
    postgres.make_cluster(data, "password")
    own = {path.name: path.read_text() for path in data.glob("*.conf")}
    for name in own:
        (data / name).write_text("archive_command = 'touch there'\n")
    for name in ("recovery.signal", "standby.signal"):
        (data / name).touch()
    monkeypatch.setattr(backup, "_run", lambda *_words: None)
    home = Home(tmp_path / "other")
    backup.restore(copy, home)
    assert {path.name: path.read_text() for path in home.postgres_data.glob("*.conf")} == own
    assert not list(home.postgres_data.glob("*.signal"))
    assert home.secrets.read_bytes() == (copy / backup.KEYS).read_bytes()
    assert [path.name for path in home.root.iterdir() if path.name.startswith("new")] == []


def test_what_cannot_be_finished_leaves_nothing(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_words: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(backup, "_run", lambda *_words: None)
    monkeypatch.setattr(postgres, "make_cluster", fail)
    home = Home(copy.with_name("other"))
    with pytest.raises(OSError, match="full"):
        backup.restore(copy, home)
    assert not home.postgres_data.exists()
    assert not home.secrets.exists()


def test_a_folder_of_somebody_elses_takes_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "theirs"
    target.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: target.stat().st_uid + 1)
    with pytest.raises(backup.BackupFailed, match="somebody else"):
        backup.back_up(object(), target)  # type: ignore[arg-type]
