"""`python -m tests.upgrade [--release REF]`: the code of the release before, on our schema and beside us.

Its own tests of the services run on databases that this code has migrated. Then its platform starts with its
own schema, and is upgraded while it runs: this code migrates, the older services go on, begin anew, share
events with this code's services, and leave all to them.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conftest import SERVICES, service_of

from common.db.shared_tables import DEFINER_FUNCTIONS, ROLE_POLICIES, SHARED_TABLES
from common.testing.databases import DatabaseServer, make_database
from penguinmails import ports
from penguinmails.home import REPOSITORY
from tests.postgres import database_server
from tests.upgrade import release, story
from tests.upgrade.platform import Running, beside, migrate, platform_of, refusals

_WITHOUT_DATABASE = (
    "services/tenants/tests/test_stripe_mock.py",
    "services/tenants/tests/test_localstripe.py",
)
"""Tests that no schema touches, and that take long or need another program."""
_STORY = "tests/e2e/test_story.py"
_AT_ONCE = 4
_BEGUN = time.monotonic()


class Failed(Exception):
    """The releases do not go together."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade")
    parser.add_argument("--release", default="", help="any name that git knows; else the release before")
    wanted = parser.parse_args()
    try:
        commit = release.find(wanted.release)
    except release.HistoryMissing as missing:
        print(f"{missing} is not in this clone (is it a shallow one?): the upgrade from it is NOT checked.")
        sys.exit(bool(os.environ.get("CI")))
    folder = Path(tempfile.mkdtemp(prefix="upgrade-", dir="/tmp"))  # sockets have little room for their names
    try:
        check(release.install(commit), folder)
    except (Failed, AssertionError, RuntimeError) as failure:
        sys.exit(f"upgrade-check: the code of {commit[:12]} breaks: {failure}\nLogs: {folder}")
    shutil.rmtree(folder)
    say(f"the code of {commit[:12]} works on this code's schema, and beside this code")


def check(older: Path, folder: Path) -> None:
    with database_server(folder) as server:
        say("the older tests on the newer schema")
        _run_tests(older, _migrated(server), "services", *_left_out(older))
    _upgrade(older, folder)


def _left_out(older: Path) -> list[str]:
    return [f"--ignore={path}" for path in _WITHOUT_DATABASE if (older / path).exists()]


def _migrated(server: DatabaseServer) -> dict[str, str]:
    """The environment that has tests take databases with our schema."""

    async def make() -> dict[str, str]:
        made = [await make_database(server, name, service_of(name).migrations) for name in SERVICES]
        return {database.service: database.name for database in made}

    templates = json.dumps(asyncio.run(make()))
    return {"TEST_POSTGRES_SUPERUSER_DSN": server.superuser_url, "TEST_DATABASE_TEMPLATES": templates}


def _run_tests(older: Path, environment: dict[str, str], *words: str) -> None:
    command = [str(older / ".venv/bin/pytest"), "--quiet", "--numprocesses", "2", "-p", "no:cacheprovider"]
    surroundings = {**release.surroundings(), **environment}
    if subprocess.run([*command, *words], cwd=older, env=surroundings, check=False).returncode:
        raise Failed(f"its own tests ({words[0]}) on the newer schema")


def _upgrade(older: Path, folder: Path) -> None:
    """From the older platform to ours, with requests and events all the way."""
    home, port = folder / "home", ports.random_free(set())  # tokens name the gateway: it stays where it is
    with platform_of(older, home, port) as running:
        say("the older platform runs on its own schema")
        before = story.sign_up(running.gateway)
        migrate(sys.executable, running)
        say("its databases are migrated; it goes on")
        story.work_on(running.gateway, before, audited_at=running.gateway)
        running.restart(set(SERVICES) - _refusing(older, running))
        say("its services have begun anew")
        _run_tests(older, {"TEST_GATEWAY": running.gateway}, _STORY)
        with beside(sys.executable, running, folder) as newer:
            say("the newer services run beside them")
            _share(running, newer)
        asyncio.run(story.look_for_losses(running.superuser))
    with platform_of(REPOSITORY, home, port) as running:
        say("the newer platform has taken over")
        story.work_on(running.gateway, before, audited_at=running.gateway)
        story.work_on(running.gateway, story.sign_up(running.gateway), audited_at=running.gateway)
        asyncio.run(story.look_for_losses(running.superuser))


def _refusing(older: Path, running: Running) -> set[str]:
    """Services that would not begin on our schema, all for what our own lists have reviewed."""
    refused = refusals(older, running)
    for service, findings in refused.items():
        say(f"WARNING: an older {service} goes on, but cannot begin anew: {'; '.join(findings)}")
    unreviewed = [text for texts in refused.values() for text in texts if not _is_reviewed(text)]
    if unreviewed:
        raise Failed(f"its services do not begin: {unreviewed}")
    return set(refused)


def _is_reviewed(finding: str) -> bool:
    """Whether it is about a function, a table or a policy on a table that our lists have a reason for."""
    name = finding.partition(" ")[0]
    return name in {*DEFINER_FUNCTIONS, *SHARED_TABLES} or name.rpartition(".")[0] in ROLE_POLICIES


def _share(running: Running, newer: dict[str, str]) -> None:
    """Requests to either, events for both."""
    asyncio.run(story.await_shared_partitions(running.superuser))
    say("they share the partitions")

    def live(number: int) -> None:
        tenant = story.sign_up((running.gateway, newer["tenants"])[number % 2])
        logs = (running.gateway, newer["audit"])
        story.work_on(running.gateway, tenant, audited_at=logs[number % 2])
        story.work_on(newer["campaigns"], tenant, audited_at=logs[1 - number % 2])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(live, range(story.TENANTS)):
            pass
    say("both have worked; the older services leave")


def say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGUN:5.0f} s] {text}", flush=True)


if __name__ == "__main__":
    main()
