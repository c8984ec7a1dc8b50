"""Which release is the one before, and what is said where it is not."""

import os
import re
import subprocess
import sys

import pytest

from penguinmails.home import REPOSITORY
from tests.upgrade import release

NOWHERE = "0" * 40


def test_the_release_before_is_named_by_its_commit() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}\n", release.RELEASED.read_text())


def test_any_name_that_git_knows_will_do() -> None:
    try:
        commit = release.find("HEAD")
    except release.HistoryMissing:
        pytest.skip("this is no clone")
    assert re.fullmatch(r"[0-9a-f]{40}", commit)


@pytest.mark.parametrize(("surroundings", "status"), [({}, 0), ({"CI": "true"}, 1)], ids=["at-work", "CI"])
def test_without_the_history_nothing_is_checked_which_is_said(
    surroundings: dict[str, str], status: int
) -> None:
    ours = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.upgrade", "--release", NOWHERE],
        cwd=REPOSITORY,
        env={**ours, **surroundings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert f"{NOWHERE} is not in this clone" in done.stdout
    assert "NOT checked" in done.stdout
