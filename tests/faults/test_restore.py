"""A backup of the running platform becomes another one: nothing is missing, and events go on."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from common.ids import Kind, parse
from penguinmails import backup, ports
from penguinmails.credentials import SERVICES
from penguinmails.home import Home
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.test_events_command import until_caught_up
from tests.e2e.test_people import PASSWORD, Person, link_in_mail

_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND EXISTS (
    SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
"""
Books = dict[tuple[str, str], list[str]]


async def books(stack: Stack, tenant_id: UUID) -> Books:
    """All that is the tenant's in every table of every service, as text."""
    found: Books = {}
    for service in SERVICES:
        connection = await asyncpg.connect(stack.config.dsn("postgres", service))
        try:
            for (table,) in await connection.fetch(_TABLES):
                statement = f"SELECT t::text FROM {table} AS t WHERE tenant_id = $1 ORDER BY t::text"
                found[service, table] = [row[0] for row in await connection.fetch(statement, tenant_id)]
        finally:
            await connection.close()
    return found


async def live(platform: Platform, tenant: Tenant, environment: dict[str, Any]) -> Person:
    """Somebody with a password, and something in each service."""
    email = f"ivan-{uuid4().hex}@example.com"
    offers = [{"workspace_id": tenant.default_workspace_id, "role": "member"}]
    await platform.make(tenant, "/invitations", email=email, role="member", workspaces=offers)
    wish = {"token": await link_in_mail(environment, email), "name": "Ivan", "password": PASSWORD}
    accepted = await platform.http.post("/api/v1/invitations/accept", json=wish)
    assert accepted.status_code == 201, accepted.text
    await platform.make(tenant, "/contacts", **contact(tenant))
    return Person(platform, tenant, email, accepted.json())


def contact(tenant: Tenant) -> dict[str, str]:
    return {"workspace_id": tenant.default_workspace_id, "email": f"{uuid4().hex}@example.com"}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Stack]:
    """An empty stack, which is not started."""
    empty = Stack(Home(tmp_path / "elsewhere"), ports.random_free(set()), attached=True)
    try:
        yield empty
    finally:
        empty.down()


@pytest.fixture
async def restored(elsewhere: Stack) -> AsyncIterator[Platform]:
    """A client of the other stack, once that is up."""
    async with httpx.AsyncClient(timeout=20) as http:
        yield Platform(http)


async def test_a_backup_becomes_a_stack_that_has_everything_and_goes_on(
    stack: Stack,
    platform: Platform,
    tenant: Tenant,
    environment: dict[str, Any],
    elsewhere: Stack,
    restored: Platform,
    tmp_path: Path,
) -> None:
    tenant_id = parse(Kind.TENANT, tenant.tenant_id)
    ivan = await live(platform, tenant, environment)
    await until_caught_up(stack)
    there, copy = await back_up_a_quiet_moment(stack, tenant_id, tmp_path)
    assert {service for (service, _), rows in there.items() if rows} == set(SERVICES)
    assert copy.stat().st_mode & 0o077 == 0
    backup.restore(copy, elsewhere.home)
    elsewhere.up()
    await until_caught_up(elsewhere)
    assert await books(elsewhere, tenant_id) == there

    restored.http.base_url = httpx.URL(elsewhere.config.url("gateway"))
    ivan.platform = restored
    entered = await ivan.log_in()
    assert entered.status_code == 200, entered.text
    member = Person(restored, tenant, ivan.email, entered.json())
    made = await restored.make(member.as_tenant, "/contacts", **contact(tenant))
    stranger = await restored.sign_up("After Ltd", "enterprise")
    assert (await restored.get(stranger, f"/contacts/{made['contact_id']}")).status_code == 404
    await until_told_once(elsewhere, tenant_id, made["contact_id"])
    with pytest.raises(backup.BackupFailed, match="has data"):
        backup.restore(copy, elsewhere.home)


async def back_up_a_quiet_moment(stack: Stack, tenant_id: UUID, folder: Path) -> tuple[Books, Path]:
    """A backup during which nothing of the tenant's changed (Stripe tells its news when it likes)."""

    async def attempt() -> tuple[Books, Path] | None:
        before, copy = await books(stack, tenant_id), folder / f"copy {uuid4().hex}"
        backup.back_up(stack, copy)
        return (before, copy) if await books(stack, tenant_id) == before else None

    return await eventually(attempt, within=30)


async def until_told_once(stack: Stack, tenant_id: UUID, contact_id: str) -> None:
    """Each creation of a contact is in the tenant's audit log, once: before the backup, and since."""
    connection = await asyncpg.connect(stack.config.dsn("postgres", "audit"))
    statement = (
        "SELECT target_id FROM audit.events WHERE tenant_id = $1 AND action = 'contact.created' "
        "ORDER BY occurred_at"
    )

    async def both() -> list[str] | None:
        found = [str(row[0]) for row in await connection.fetch(statement, tenant_id)]
        return found if len(found) >= 2 else None

    try:
        found = await eventually(both)
    finally:
        await connection.close()
    assert len(found) == 2
    assert contact_id in found[-1]


def test_a_backup_that_was_changed_is_refused(stack: Stack, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    backup.back_up(stack, copy)
    with pytest.raises(backup.BackupFailed, match="not empty"):
        backup.back_up(stack, copy)
    paths = (copy / backup.DATABASES / "base").rglob("*")
    victim = next(path for path in paths if path.is_file() and path.stat().st_size > 0)
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(backup.BackupFailed, match="verifybackup"):
        backup.restore(copy, Home(tmp_path / "other"))
    (copy / backup.KEYS).unlink()
    with pytest.raises(backup.BackupFailed, match="no backup"):
        backup.verify(copy)
