"""Programs that tests need beside PyPI's wheels. Where one is missing they are skipped and say so; CI
installs all of them, so that there it is a failure and nothing is green without having been tried."""

import os
from typing import NoReturn

import pytest

MARKER = "needs_program"


def needs(name: str, found: object, mend: str) -> pytest.MarkDecorator:
    """A mark for tests of a program that was looked for; `mend` says how to get it."""
    return pytest.mark.needs_program(name, bool(found), mend)


def missing(name: str, mend: str) -> NoReturn:
    """End the test that cannot go on without the program."""
    reason = f"{name} is not here: {mend}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}(name, found, mend): see tests/programs.py")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers(MARKER):
        name, found, mend = mark.args
        if not found:
            missing(name, mend)
