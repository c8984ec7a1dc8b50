"""What only a running stack can tell: which service is not ready and why, clocks, schemas, secrets."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import asyncpg
import httpx

from penguinmails import probes
from penguinmails.config import Config
from penguinmails.credentials import SEALING, SERVICES
from penguinmails.doctor.problems import Level, Problem
from penguinmails.services import load
from penguinmails.state import State, Status

LARGEST_DIFFERENCE = 1.0
"""Seconds between two clocks; tokens and leases allow for a few."""
_UNREADY = {
    "keys": "it has no keys to check tokens with: auth has not answered it",
    "database": "it cannot reach its database, or may not enter it",
    "staying": "it was told to stop",
}


async def readiness(config: Config, told: State) -> AsyncIterator[Problem]:
    """Each process that is not ready, and why; and those that had to be started again."""
    for name, process in told.processes.items():
        look = f"penguinmails logs {name} --level warning"
        if process.status not in (Status.READY, Status.DONE):
            ended = "" if process.exit_status is None else f", last ended with status {process.exit_status}"
            last = _last_line(config.home.log(name))
            yield Problem(f"{name} is {process.status}{ended}{last}", look)
        elif process.restarts:
            what = f"{name} was started again {process.restarts} times"
            yield Problem(what, look, Level.WARNING)
    for service in SERVICES:
        status, body = await probes.get(config.ports[service], "/health/ready")
        for why in unready(status, body):
            mend = "penguinmails events dlq list" if "consumer" in why else f"penguinmails logs {service}"
            yield Problem(f"{service} is not ready: {why}", mend)


def unready(status: int, body: str) -> list[str]:
    if status == 200:
        return []
    try:
        checks: dict[str, bool] = json.loads(body)["checks"]
    except (ValueError, KeyError, TypeError):
        return [f"/health/ready answers {status}" if status else "/health/ready does not answer"]
    return [
        _UNREADY.get(name, f"{name} stopped after too many dead letters")
        for name, good in checks.items()
        if not good
    ]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return f": {lines[-1][:200]}" if lines else ""


async def clocks(database: str, gateway: str) -> AsyncIterator[Problem]:
    """Ours against the database's and the gateway's. The broker's decides nothing: events carry our times."""
    mend = "set the clocks (NTP): proofs, tokens and leases compare times"
    connection = await asyncpg.connect(database, timeout=5)
    try:
        before = time.time()
        theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        after = time.time()
    finally:
        await connection.close()
    if not before - LARGEST_DIFFERENCE < theirs < after + LARGEST_DIFFERENCE:
        yield Problem(f"the database's clock is {theirs - after:+.1f} s from ours", mend)
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
        before = time.time()
        told = (await http.get(f"{gateway}/health/ready")).headers.get("date")
        after = time.time()
    theirs = parsedate_to_datetime(told).timestamp() if told else before
    if not before - 1 - LARGEST_DIFFERENCE < theirs < after + LARGEST_DIFFERENCE:
        yield Problem(f"the gateway's clock is {theirs - after:+.1f} s from ours", mend)


async def schema(service: str, owner: str, migrations: Path | None = None) -> AsyncIterator[Problem]:
    """The database's revisions are those of the code."""
    # Imported here: Alembic is slow to load, and most of our commands need none.
    from common.db.migrate import applied, scripts  # noqa: PLC0415

    script = scripts(migrations or load(service).migrations)
    try:
        connection = await asyncpg.connect(owner, timeout=5)
    except asyncpg.InvalidPasswordError:
        mend = "put back the secrets.json of this database, or `penguinmails migrate` sets its passwords"
        yield Problem(f"the database of {service} does not take the password of secrets.json", mend)
        return
    try:
        rows = await connection.fetch("SELECT version_num FROM public.alembic_version")
    except asyncpg.UndefinedTableError:
        rows = []
    finally:
        await connection.close()
    found = {str(row[0]) for row in rows}
    known = {revision.revision for revision in script.walk_revisions()}
    if ahead := sorted(found - known):
        what = f"the database of {service} is at {', '.join(ahead)}, which this code does not know"
        yield Problem(what, "run the code that made it (or newer), or `penguinmails reset`")
    elif behind := sorted(set(script.get_heads()) - applied(script, found)):
        what = f"the database of {service} is behind the code: {', '.join(behind)} is missing"
        yield Problem(what, "penguinmails migrate")


async def schemas(databases: Mapping[str, Mapping[str, str]]) -> AsyncIterator[Problem]:
    for service in SERVICES:
        async for problem in schema(service, databases[service]["owner"]):
            yield problem


async def secrets(service: str, environment: Mapping[str, str]) -> AsyncIterator[Problem]:
    """Secrets at rest that the current encryption key has not sealed."""
    # Imported here: the kernel is slow to load, and most of our commands need little of it.
    from common.sealing import SealingSettings  # noqa: PLC0415
    from common.secrets_cli import count_secrets  # noqa: PLC0415

    settings = SealingSettings.model_validate({name.lower(): value for name, value in environment.items()})
    keys = settings.encryption_keys
    for kind, counts in (await count_secrets(load(service), settings)).items():
        for key_id, count in counts.items():
            what = f"{count} of {service}'s {kind} are sealed with"
            if not keys.knows(key_id):
                mend = (
                    f"put the key {key_id} behind the current one in KEY_ENCRYPTION_KEY (docs/operations.md)"
                )
                yield Problem(f"{what} a key that is missing: {key_id}", mend)
            elif key_id != keys.current:
                yield Problem(f"{what} an older key: {key_id}", "penguinmails keys reseal", Level.WARNING)


async def all_secrets(config: Config) -> AsyncIterator[Problem]:
    for service in SEALING:
        async for problem in secrets(service, config.service_environment(service)):
            yield problem
