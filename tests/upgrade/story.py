"""What is done on a platform of two releases: sign-ups, changes, their records; and whether any is lost."""

import time
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import httpx
from conftest import SERVICES
from sqlalchemy.engine import make_url

from penguinmails.signing_up import ask_until_ready
from tests.e2e.client import eventually

TENANTS = 12
"""As many as a topic has partitions: each of two consumers meets some."""
_PATIENCE_SECONDS = 30

_SHARES = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid < 4294967295::oid AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_CONSUMERS = """
SELECT DISTINCT classid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objid = 4294967295::oid AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_LOST = (
    "SELECT type || ': ' || reason FROM tenancy.dead_letters",
    "SELECT type || ' is parked' FROM tenancy.outbox WHERE parked_at IS NOT NULL",
)
_REFUSED = "SELECT topic || ': ' || reason FROM audit.quarantine WHERE reason <> 'unknown_type'"
"""An event that only newer code tells waits in quarantine for newer code: that is no loss."""


@dataclass(frozen=True)
class Tenant:
    tenant_id: str
    workspace_id: str
    headers: dict[str, str]


def sign_up(address: str) -> Tenant:
    """At a gateway, or at a `tenants`."""
    name = uuid4().hex
    body = {
        "company_name": name,
        "owner_email": f"{name}@example.com",
        "owner_name": "Olga",
        "plan": "starter",
    }
    with httpx.Client(timeout=_PATIENCE_SECONDS) as http:
        answer = ask_until_ready(http, f"{address}/api/v1/tenants", body)
    assert answer.status_code == 201, f"a sign-up at {address}: {answer.text}"
    made = answer.json()
    bearer = {"Authorization": f"Bearer {made['access_token']}"}
    return Tenant(made["tenant_id"], made["default_workspace_id"], bearer)


def work_on(address: str, tenant: Tenant, *, audited_at: str) -> None:
    """Make, change and delete a campaign; the log, asked at an `audit` or a gateway, has all of it."""
    with httpx.Client(headers=tenant.headers, timeout=_PATIENCE_SECONDS) as http:
        body = {"workspace_id": tenant.workspace_id, "name": "Spring", "subject": "Hello"}
        made = http.post(f"{address}/api/v1/campaigns", json=body)
        assert made.status_code == 201, f"a campaign at {address}: {made.text}"
        place = f"{address}/api/v1/campaigns/{made.json()['campaign_id']}"
        changed = http.patch(place, json={"name": "Summer"})
        assert changed.status_code == 200, f"its change at {address}: {changed.text}"
        assert http.delete(place).status_code == 204
        wanted = {f"campaign.{what}" for what in ("created", "updated", "deleted")}
        _await_records(http, audited_at, made.json()["campaign_id"], wanted)


def _await_records(http: httpx.Client, address: str, resource: str, wanted: set[str]) -> None:
    deadline, found = time.monotonic() + _PATIENCE_SECONDS, set[str]()
    while not found >= wanted:
        assert time.monotonic() < deadline, f"{wanted - found} of {resource} not recorded at {address}"
        answer = http.get(f"{address}/api/v1/audit/events", params={"target": resource})
        assert answer.status_code == 200, f"the log at {address}: {answer.text}"
        found = {event["action"] for event in answer.json()["data"]}


async def await_shared_partitions(superuser: str) -> None:
    """Until each consumer has two owners of partitions."""
    for service in SERVICES:
        connection = await _open(superuser, service)
        try:
            for row in await connection.fetch(_CONSUMERS):
                await _await_two(connection, row["classid"])
        finally:
            await connection.close()


async def _await_two(connection: asyncpg.Connection, consumer: int) -> None:
    async def shared() -> bool:
        return await connection.fetchval(_SHARES, consumer) >= 2

    await eventually(shared, within=_PATIENCE_SECONDS)


async def look_for_losses(superuser: str) -> None:
    """Nothing was given up: no dead letters, no parked events, no records that the log refused."""
    found: list[str] = []
    for service in SERVICES:
        connection = await _open(superuser, service)
        try:
            statements = [*_LOST, *([_REFUSED] if service == "audit" else [])]
            for statement in statements:
                found += [f"{service}: {row[0]}" for row in await connection.fetch(statement)]
        finally:
            await connection.close()
    assert not found, found


async def _open(superuser: str, service: str) -> asyncpg.Connection:
    url = make_url(superuser).set(database=service)
    return await asyncpg.connect(url.render_as_string(hide_password=False))
