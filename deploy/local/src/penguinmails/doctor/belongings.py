"""What a stack has on disk and on the machine: its folder, keys, ports, and what earlier runs left."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from penguinmails import config, credentials, files, identity, ports, postgres, privileges, state
from penguinmails.doctor.problems import Level, Problem
from penguinmails.home import Home

SUPERVISOR = "penguinmails.supervisor"


def folder(home: Home) -> Iterator[Problem]:
    """We may write below it, and the database server may reach its data."""
    elsewhere = "PENGUINMAILS_HOME=… elsewhere, or mend it with chown and chmod"
    nearest = next(path for path in (home.root, *home.root.parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield Problem(f"{nearest} cannot be written by us", elsewhere)
    elif home.root.exists() and home.root.stat().st_uid != os.geteuid():
        owner, us = home.root.stat().st_uid, os.geteuid()
        yield Problem(f"{home.root} belongs to user {owner}, and we are {us}", elsewhere)
    closed = list(_closed_to_server(home))
    if closed:
        yield Problem(f"the database server, not root, may not pass {closed[0]}", f"chmod o+x {closed[0]}")


def _closed_to_server(home: Home) -> Iterator[Path]:
    if os.geteuid() == 0 and not privileges.has_passage():
        existing = (path for path in (home.root, *home.root.parents) if path.exists())
        yield from (path for path in existing if not path.stat().st_mode & stat.S_IXOTH)


def data(home: Home) -> Iterator[Problem]:
    """The database's files are whole, of our version, and closed to others."""
    place = home.postgres_data
    if not place.exists():
        return
    try:
        made_by = (place / "PG_VERSION").read_text().strip()
    except OSError:
        yield Problem(f"{place} is not a whole database: its making was cut off", "penguinmails reset")
        return
    if made_by != postgres.MAJOR_VERSION:
        what = f"{place} was made by PostgreSQL {made_by}, and ours is {postgres.MAJOR_VERSION}"
        yield Problem(what, "penguinmails reset, or restore a dump into a new stack")
    if place.stat().st_mode & 0o077:
        yield Problem(f"{place} is open to others; PostgreSQL refuses it", f"chmod 700 {place}")


def keys(home: Home) -> Iterator[Problem]:
    """Passwords and keys are there, whole, and nobody else's to read."""
    if not home.secrets.exists():
        if (home.postgres_data / "PG_VERSION").exists():
            what = f"{home.secrets} is gone, and the database has the passwords that were in it"
            yield Problem(what, "put it back from a backup, or `penguinmails reset`")
    else:
        yield from _unusable(home.secrets)
    for path in (home.secrets, home.config, home.demo_login, home.demo_token):
        if path.exists() and path.stat().st_mode & 0o077:
            yield Problem(f"{path} can be read by others", f"chmod 600 {path}")


def _unusable(path: Path) -> Iterator[Problem]:
    mend = "put it back from a backup, or `penguinmails reset`"
    try:
        found = credentials.load(path)
    except (OSError, ValueError, TypeError) as problem:
        yield Problem(f"{path} cannot be read: {type(problem).__name__}", mend)
        return
    wanted = {"postgres", *(role for service in credentials.SERVICES for role in credentials.roles(service))}
    missing = sorted(wanted - found.passwords.keys())
    for name in ("tenancy_keys", "link_secrets", "signing_keys", "public_keys"):
        missing += sorted(
            f"{name}.{service}" for service in set(credentials.SERVICES) - vars(found)[name].keys()
        )
    if missing:
        yield Problem(f"{path} lacks {', '.join(missing)}", mend)


def remains(home: Home) -> Iterator[Problem]:
    """What a killed supervisor left, or a start that is under way."""
    if state.is_running(home):
        return
    if files.is_locked(home.up_lock):
        yield Problem("`penguinmails up` is under way", "wait for it", Level.WARNING)
        return
    sweep = "penguinmails down"
    try:
        left = state.read(home)
    except (ValueError, TypeError, KeyError) as problem:
        yield Problem(f"{home.state} cannot be read: {type(problem).__name__}", f"rm {home.state}")
        return
    for name, process in (left.processes if left else {}).items():
        if process.pid and identity.is_alive(process.pid, process.start):
            yield Problem(f"{name} (pid {process.pid}) outlived its supervisor", sweep)
        elif process.status in (state.Status.READY, state.Status.STARTING):
            what = f"{home.state} says that {name} is {process.status}; its supervisor was killed"
            yield Problem(what, f"nothing: `up` begins anew ({sweep} clears it)", Level.WARNING)
            return


def taken_ports(home: Home, wanted: int | None) -> Iterator[Problem]:
    """Ports this stack would like to have and somebody else listens on."""
    if state.is_running(home):
        return
    try:
        remembered = config.remembered_ports(home)
    except (ValueError, KeyError) as problem:
        yield Problem(f"{home.config} cannot be read: {type(problem).__name__}", f"rm {home.config}")
        return
    gateway = wanted or remembered.get("gateway") or ports.GATEWAY_PORT
    for name, port in {**remembered, "gateway": gateway}.items():
        if not ports.is_free(port):
            mend = (
                "`up` takes the next free one; PORT=… chooses" if name == "gateway" else "`up` takes another"
            )
            yield Problem(f"port {port} ({name}) is taken by {listener(port)}", mend, Level.WARNING)


def listener(port: int) -> str:
    """Who listens there, as far as we may know."""
    try:
        heard = (known for known in psutil.net_connections("tcp") if known.status == psutil.CONN_LISTEN)
        found = [known.pid for known in heard if known.laddr and known.laddr.port == port]
        process = psutil.Process(next(pid for pid in found if pid))
        return f"{process.name()} (pid {process.pid}: {' '.join(process.cmdline())[:80]})"
    except (psutil.Error, StopIteration):
        return "somebody whose processes we may not see"


def other_stacks(home: Home) -> Iterator[Problem]:
    """Stacks that run from other folders; one whose folder is gone can only be ended by hand."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        words: list[str] = process.info["cmdline"] or []
        if SUPERVISOR not in words or words[-1] == SUPERVISOR:
            continue
        root = Path(words[words.index(SUPERVISOR) + 1])
        if not root.exists():
            yield Problem(f"a stack whose folder {root} is gone still runs", f"kill {process.pid}")
        elif root.resolve() != home.root:
            mend = f"nothing; to end it: PENGUINMAILS_HOME={root} penguinmails down"
            yield Problem(f"another stack runs in {root}", mend, Level.WARNING)


def demo_login(home: Home) -> Iterator[Problem]:
    """What `up` remembers of the demo tenant can be read."""
    if home.demo_login.exists():
        try:
            json.loads(home.demo_login.read_text())["access_token"]
        except (OSError, ValueError, KeyError, TypeError):
            yield Problem(f"{home.demo_login} is damaged", f"rm {home.demo_login}")
