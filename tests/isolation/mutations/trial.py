"""One trial: the isolation tests against a mutated database or mutated code, in a process of their own."""

import asyncio
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.testing.databases import DatabaseServer
from tests.isolation.mutations.mutation import ROOT, CodeMutation, Edit
from tests.isolation.services import SERVICES

SUITE = "tests/isolation"
_IN_PROCESS = "not at_the_services and not at_the_gateway"
"""Against the applications inside the test process: no stack is started."""
_FIRST_RED = re.compile(r"^(FAILED|ERROR) (tests/isolation/\S+?::.*?)(?: - .*)?$", re.MULTILINE)
_PATIENCE_SECONDS = 600
_GREEN, _RED, _NOTHING_CHOSEN = 0, 1, 5


class Inconclusive(Exception):
    """pytest neither passed nor failed a test: it hung, crashed, or could not even import the code."""


@dataclass(frozen=True)
class Place:
    """What a trial's process finds in place of the pristine database and code."""

    server: DatabaseServer
    templates: Mapping[str, str]
    sources: Sequence[Path] = field(default_factory=list[Path])

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TEST_POSTGRES_SUPERUSER_DSN": self.server.superuser_url,
            "TEST_DATABASE_TEMPLATES": json.dumps(dict(self.templates)),
            "PYTHONPATH": os.pathsep.join(str(path) for path in self.sources),
        }


@dataclass(frozen=True)
class Outcome:
    """`red`: the first test that failed, or None when all passed."""

    red: str | None
    seconds: float


async def run_tests(place: Place, named: Sequence[str] = (), *, service: str | None = None) -> Outcome:
    """Run the isolation suite, or the files and tests named of it, until the first red test.

    `service`: leave out what concerns the other services' databases.

    Raises:
        Inconclusive: there is no answer.
    """
    began = time.monotonic()
    targets = [f"{SUITE}/{name}" for name in named] or [SUITE]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += ["-k", _selection(service), *targets]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=place.environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        raw, _ = await asyncio.wait_for(process.communicate(), _PATIENCE_SECONDS)
    except TimeoutError as error:
        raise Inconclusive(f"the tests did not end within {_PATIENCE_SECONDS} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    red = first_red(process.returncode, raw.decode(errors="replace"))
    return Outcome(red, time.monotonic() - began)


def _selection(service: str | None) -> str:
    """The expression that leaves out the running stack, and all services but one."""
    others = [name for name in SERVICES if service is not None and name != service]
    return " and ".join(
        [_IN_PROCESS, *(f"not [{name}] and not [{name}- and not -{name}]" for name in others)]
    )


def first_red(code: int | None, output: str) -> str | None:
    """The first red test of a pytest run, or None for a green one.

    Raises:
        Inconclusive: neither; a module that cannot be imported is no test that failed.
    """
    if code in (_GREEN, _NOTHING_CHOSEN):
        return None
    found = _FIRST_RED.search(output) if code == _RED else None
    if found is None:
        raise Inconclusive(output[-3000:])
    kind, test = found.groups()
    return test if kind == "FAILED" else f"{test} (its set-up)"


def overlay(mutation: CodeMutation, home: Path) -> list[Path]:
    """Copies of the packages that the mutation changes, changed; to be found before the originals.

    Raises:
        Stale: an edit does not fit any more.
    """
    packages = {_package(edit) for edit in mutation.edits}
    for package in packages:
        shutil.copytree(ROOT / package, home / package, ignore=shutil.ignore_patterns("tests"))
    for edit in mutation.edits:
        file = home / edit.path
        file.write_text(edit.apply(file.read_text(encoding="utf-8")), encoding="utf-8")
    return [home / package / "src" for package in sorted(packages)]


def _package(edit: Edit) -> Path:
    """`libs/common` or `services/<name>`."""
    return Path(*Path(edit.path).parts[:2])
